"""One job on several processes: who takes part, what each of them sees of a batch, and how results come together."""
