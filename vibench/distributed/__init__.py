"""One job on several processes: who takes part, what each of them sees of a batch, and how results come together.

Start with `world`, the processes of a job; `dealt`, `layers` and `gradients` make training on shares of a batch what
it would be on the whole.
"""
