"""Claims about a whole benchmark, such as "no probe is fed by the train loader": ``configs/claims/*.yaml``.

Claims that one row is better than another are tested in :mod:`bench.results.claims`; these here ask whether rows may be
believed at all. A predicate is a function of :mod:`bench.audit.findings.predicates` over the evidence of
:mod:`bench.audit.findings.evidence`, whatever benchmark that is taken from.
"""
