"""Cohorts made up from a known model, with the best score that any model can reach."""

from medkit.datasets.synthetic.admissions import synthetic_admissions
from medkit.datasets.synthetic.deterioration import synthetic_deterioration
from medkit.datasets.synthetic.dna import synthetic_dna
from medkit.datasets.synthetic.epidemic import synthetic_epidemic
from medkit.datasets.synthetic.icu import synthetic_icu
from medkit.datasets.synthetic.vitals import synthetic_vitals
from medkit.datasets.synthetic.xray import synthetic_xray

__all__ = [
    "synthetic_admissions",
    "synthetic_deterioration",
    "synthetic_dna",
    "synthetic_epidemic",
    "synthetic_icu",
    "synthetic_vitals",
    "synthetic_xray",
]
