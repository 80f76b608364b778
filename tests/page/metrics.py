"""Reads metrics from stdin as a collector does and tells as JSON what they are: a family's name, type, help and samples."""
import json
import sys

from prometheus_client.parser import text_string_to_metric_families

print(json.dumps({
    family.name: {"type": family.type, "help": family.documentation,
                  "samples": [[sample.name, sample.labels, sample.value] for sample in family.samples]}
    for family in text_string_to_metric_families(sys.stdin.read())
}))
