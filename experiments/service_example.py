import jax
import numpy as np

import c2mabv_jax as c2

problem = c2.Problem(num_arms=3, num_selected=2, budget=0.9, reward_model="SUC")
policy = c2.policies.C2MABV(alpha_reward=0.3, alpha_cost=0.05)
select, update = jax.jit(policy.select), jax.jit(policy.update)
world = np.random.default_rng(0)


def ask(selected):  # your LLMs: who answered well, at what cost
    return world.random(3) < [0.9, 0.7, 0.4], np.array([0.8, 0.3, 0.1])


state = policy.init(problem)
for query in range(1000):
    decision = select(problem, state, jax.random.key(query))
    reward, cost = ask(decision.selected)
    feedback = c2.policies.Feedback(reward.astype(float), cost, observed=decision.selected)
    state = update(problem, state, decision, feedback)

c2.policies.save_state("state.npz", state)  # stop the service, start it again tomorrow
state = c2.policies.load_state("state.npz", like=policy.init(problem))
print("queries answered by each LLM:", state.estimates.count)
