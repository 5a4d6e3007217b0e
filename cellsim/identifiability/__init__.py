"""What the data can see: information, profiles."""

from typing import TYPE_CHECKING

from cellsim.lazy import lazy_names

if TYPE_CHECKING:
    from cellsim.identifiability.identification import identify
    from cellsim.identifiability.profiles import Profiles, profile

__all__ = ["Profiles", "identify", "profile"]
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Profiles": "identifiability.profiles",
        "identify": "identifiability.identification",
        "profile": "identifiability.profiles",
    },
)
