"""Live services: a host object around the pure functions, and what plugs it into others.

functions   what happens to a policy's state, compiled: choose, learn, other money, other LLMs
selector    `Selector`: names, money, tickets, threads, files
report      what a selector has spent and learned, for people
litellm     a routing strategy for `litellm.Router` (needs the extra `[litellm]`)
"""

from c2mabv_jax.service.report import ModelReport, Report
from c2mabv_jax.service.selector import Choice, Selector

__all__ = ["Choice", "ModelReport", "Report", "Selector"]
