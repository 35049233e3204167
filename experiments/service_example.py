import numpy as np

from c2mabv_jax.service import Selector

models = {"large": 0.012, "mid": 0.004, "small": None}  # the largest cost of one answer, if known
selector = Selector(models, budget=0.003, cost_unit="USD/query", seed=0)
world = np.random.default_rng(0)


def ask(model):  # your LLMs: was the answer good, what did it cost
    good, cost = {"large": (0.95, 0.01), "mid": (0.7, 0.002), "small": (0.5, 0.0003)}[model]
    return float(world.random() < good), cost * world.uniform(0.8, 1.2)


for _query in range(3000):
    choice = selector.choose()
    (model,) = choice.models
    reward, cost = ask(model)
    selector.feedback(choice.ticket, rewards={model: reward}, costs={model: cost})

selector.save("state.npz")  # stop the service, start it again tomorrow
print(Selector.load("state.npz").report())
