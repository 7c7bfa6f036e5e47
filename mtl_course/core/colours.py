"""Colours that people with any colour vision can tell apart."""

__all__ = ["OKABE_ITO"]

OKABE_ITO = dict(  # Okabe and Ito 2008
    black="#000000",
    orange="#E69F00",
    sky="#56B4E9",
    green="#009E73",
    yellow="#F0E442",
    blue="#0072B2",
    vermillion="#D55E00",
    purple="#CC79A7",
)
