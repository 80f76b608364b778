"""The order of a rollout: played with a kubectl that writes down what it is asked for, and with the real one before what it takes for a cluster."""
import os
import subprocess

from checks import KUBERNETES, Copy, check
from cluster import Cluster
from support.facts import equal

# What the Job comes to is in the file `outcome`: "succeeded", "failed", or the time runs out.
KUBECTL = """#!/bin/bash
set -eu
case $1 in
  kustomize) exec {kubectl} "$@" ;;
  get)
    outcome=$(cat {directory}/outcome)
    case "$outcome $*" in
      succeeded*conditions*) echo Complete ;;
      succeeded*) echo 1/ ;;
      failed*conditions*) echo Failed ;;
      failed*) echo /1 ;;
      *conditions*) ;;
      *) echo / ;;
    esac ;;
  *)
    echo "$*" | sed "s|--filename [^ ]*|--filename F|" >>{directory}/asked
    if [ "$1" = apply ]; then cp "$3" {directory}/applied.yaml; fi ;;
esac
"""
TRIED = [
    "delete job hallpass-trial --ignore-not-found --wait --namespace hallpass --context c",
    "apply --filename F --selector app.kubernetes.io/component!=relay,app.kubernetes.io/component!=trial --context c",
    "apply --filename F --selector app.kubernetes.io/component=trial --context c",
    "logs job/hallpass-trial --namespace hallpass --context c",
]
ROLLED_OUT = [
    "apply --filename F --selector app.kubernetes.io/component=relay --context c",
    "rollout status deployment/hallpass --timeout 7s --namespace hallpass --context c",
]


def played(outcome, overlay="example"):
    """The exit code, what kubectl was asked for, and what was said."""
    with Copy() as copy:
        stub = copy.directory / "bin" / "kubectl"
        stub.parent.mkdir()
        real = subprocess.run(["which", "kubectl"], capture_output=True, text=True, check=True).stdout.strip()
        stub.write_text(KUBECTL.format(kubectl=real, directory=copy.directory))
        stub.chmod(0o755)
        (copy.directory / "outcome").write_text(outcome)
        where = copy.overlay(overlay) if overlay else copy.root / "base"
        env = {**os.environ, "PATH": f"{stub.parent}:{os.environ['PATH']}", "ROLLOUT_TIMEOUT": "2 7"}
        done = subprocess.run([KUBERNETES / "rollout", where, "--context", "c"], capture_output=True, text=True, env=env)
        asked = copy.directory / "asked"
        return done.returncode, asked.read_text().splitlines() if asked.exists() else [], done.stderr


@check("a credential that is accepted is rolled out: configuration and network policies, trial, relay, in this order")
def accepted():
    for overlay in ("example", "keytab"):
        code, asked, said = played("succeeded", overlay)
        equal((code, asked), (0, TRIED + ROLLED_OUT), said)


@check("a credential that is not accepted stops the rollout before anything of the relay is touched")
def rejected():
    code, asked, said = played("failed")
    equal((code, asked), (1, TRIED), said)
    assert "the replicas that run keep what they have" in said, said


@check("a trial of which nothing is heard stops it as well")
def unheard():
    code, asked, _ = played("")
    equal((code, asked), (1, TRIED), "after the time for it")


@check("what the rollout applies before the trial, as the trial and after it are all objects, each once")
def parts():
    import yaml
    with Copy() as copy:
        objects = list(yaml.safe_load_all(copy.build(copy.overlay("example"))))
    component = lambda one: one["metadata"].get("labels", {}).get("app.kubernetes.io/component")
    kinds = lambda which: sorted(one["kind"] for one in objects if component(one) == which)
    # What the trial may reach must be known before it asks; kubectl itself applies policies after Jobs.
    equal(kinds(None), ["ConfigMap", "Namespace", "NetworkPolicy", "NetworkPolicy", "Secret", "ServiceAccount"], "before the trial")
    equal(kinds("trial"), ["Job"], "the trial")
    equal(kinds("relay"), ["Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Service"], "after the trial")


@check("an overlay without a namespace is not rolled out")
def no_namespace():
    code, asked, said = played("succeeded", None)
    equal((code, asked), (2, []), said)


ACCEPTED = {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
REJECTED = {"failed": 1, "conditions": [{"type": "Failed", "status": "True"}]}
BEFORE = ["Namespace", "ServiceAccount", "ConfigMap", "Secret", "NetworkPolicy", "NetworkPolicy"]
RELAY = ["Service", "Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"]


def rolled_out(copy, cluster):
    """By kubectl itself: the exit code, the kinds of what it made meanwhile, in this order, and what was said."""
    env = {"PATH": os.environ["PATH"], "HOME": str(copy.directory), "ROLLOUT_TIMEOUT": "20 20"}
    cluster.created.clear()
    done = subprocess.run([KUBERNETES / "rollout", copy.overlay("example"), "--server", cluster.url], capture_output=True, text=True, env=env)
    assert "what the trial said" in done.stdout, done.stdout + done.stderr
    return done.returncode, cluster.created, done.stdout + done.stderr


@check("kubectl itself makes the configuration and the network policies, then the trial, and then the relay")
def first():
    with Copy() as copy, Cluster(ACCEPTED) as cluster:
        code, made, said = rolled_out(copy, cluster)
        equal((code, made, cluster.changed), (0, BEFORE + ["Job"] + RELAY, []), said)


@check("where another password is rejected, kubectl itself makes a Secret and a Job, and changes nothing that is there")
def second():
    with Copy() as copy, Cluster(ACCEPTED) as cluster:
        rolled_out(copy, cluster)
        copy.put("example", "password", "another\n")
        cluster.trial = REJECTED
        code, made, said = rolled_out(copy, cluster)
        equal((code, made, cluster.changed, cluster.deleted), (1, ["Secret", "Job"], [], ["Job"]), said)
        # The same once more and accepted: the Deployment takes it.
        cluster.trial = ACCEPTED
        code, made, said = rolled_out(copy, cluster)
        equal((code, made, cluster.changed, cluster.deleted), (0, ["Job"], ["Deployment"], ["Job", "Job"]), said)
