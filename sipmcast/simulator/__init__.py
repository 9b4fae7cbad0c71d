"""A Grandstream GXP16xx in software: phones that boot, ask, fetch, flash and reboot by the vendor's guide.

It shares no code with the server. Messages, HTTP and the configuration file are read here a second time, by
other code and more strictly than a phone would, so that a mistake on one side cannot hide on the other. It
must never import anything of this project outside this package, nor anything beyond the standard library.
Source: Grandstream, "GXP16XX Auto-configuration Plug and Play".
"""

from sipmcast.simulator.fleet import Fleet, run
from sipmcast.simulator.options import Options, OptionsError, PhoneSetup, Timings, add_arguments
from sipmcast.simulator.phone import Phone
from sipmcast.simulator.result import Result

__all__ = [
    "Fleet",
    "Options",
    "OptionsError",
    "Phone",
    "PhoneSetup",
    "Result",
    "Timings",
    "add_arguments",
    "run",
]
