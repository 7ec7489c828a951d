"""Names of samplers."""

from types import SimpleNamespace

all_samplers = [SimpleNamespace(name=name, options={}) for name in ("DPM++ 2M", "Euler a", "Euler", "DDIM", "UniPC")]
all_samplers_map = {sampler.name: sampler for sampler in all_samplers}


def visible_sampler_names():
    return [sampler.name for sampler in all_samplers]


def visible_samplers():
    return all_samplers
