"""Signalling networks of any size: the species, reactions and parameters of published large models, the numbers drawn.

The largest of PEtab's benchmark collection, Chen_MSB2009, has 500 species, 828 reactions and about 200 parameters: proteins
that bind to complexes of complexes, and enzymes that modify them. These networks have the same sizes and sparsity.
"""

from __future__ import annotations

import numpy as np

__all__ = ["network"]


def network(species: int, seed: int = 1) -> str:
    """Antimony of a closed network that relaxes to a steady state.

    A tenth of the species are proteins; every other is a complex of one before it with a protein (mass action, both ways).
    Enzymes turn one complex into another (Michaelis-Menten) until there are 1.6 reactions a species. Rate constants are
    shared, two parameters for five species.

    Parameters
    ----------
    species : int
        At least 20.
    seed : int

    Examples
    --------
    >>> text = network(20)
    >>> text.count("->"), text.count("species")
    (32, 20)
    """
    draw = np.random.default_rng(seed)
    proteins, reactions = species // 10, round(1.6 * species)
    constants = max(2 * species // 5 // 4, 1)
    lines = [f"species s{i} = {100.0 if i < proteins else 0.0:g}" for i in range(species)]
    for kind, centre in (("on", 1e-3), ("off", 0.05), ("k", 0.1), ("K", 20.0)):
        values = centre * np.exp(draw.normal(0.0, 0.7, constants))
        lines += [f"{kind}{i} = {value!r}" for i, value in enumerate(values.tolist())]

    def one(kind: str) -> str:
        return f"{kind}{draw.integers(constants)}"

    for made in range(proteins, species):
        part, protein = draw.integers(made), int(proteins * draw.random() ** 2)  # some proteins bind to many
        lines.append(
            f"s{part} + s{protein} -> s{made}; {one('on')}*s{part}*s{protein} - {one('off')}*s{made}"
        )
    for _ in range(reactions - (species - proteins)):
        enzyme, from_, to = draw.integers(species, size=3)
        lines.append(f"s{from_} -> s{to}; {one('k')}*s{enzyme}*s{from_}/({one('K')} + s{from_})")
    return "model network\n  " + "\n  ".join(lines) + "\nend\n"
