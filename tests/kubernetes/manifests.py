"""The manifests: they build, the published schemas accept them, and they keep what they promise."""
import base64
import ipaddress
import json
import re
import subprocess
import tomllib

import kubernetes_validate
import yaml

from checks import KUBERNETES, OVERLAYS, Copy, check, hallpass
from support.facts import equal

# The oldest that has every kind which is used, a few between, the newest that is known.
VERSIONS = ["1.25", "1.28", "1.30", "1.32", "1.34", kubernetes_validate.latest_version()]
USER = 65532


def built():
    """Everything that could be applied: name, and its objects."""
    with Copy() as copy:
        for where in [copy.root / "base", *map(copy.overlay, OVERLAYS)]:
            yield where.name, list(yaml.safe_load_all(copy.build(where)))


def overlays():
    return [(name, objects) for name, objects in built() if name != "base"]


def of_kind(objects, kind, name=None):
    found = [one for one in objects if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} {kind} {name or ''}"
    return found[0]


def pods(objects):
    return [of_kind(objects, "Deployment")["spec"]["template"], of_kind(objects, "Job")["spec"]["template"]]


def settings(objects):
    return tomllib.loads(of_kind(objects, "ConfigMap")["data"]["hallpass.toml"])


@check("base and overlays build, and the published schemas of each version accept every object strictly")
def schemas():
    count = 0
    for name, objects in built():
        for one in objects:
            for version in VERSIONS:
                try:
                    kubernetes_validate.validate(one, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    raise AssertionError(f"{name}: {one['kind']} {one['metadata']['name']} for {version}: {error}") from error
                count += 1
    return f"{count} validations, Kubernetes {', '.join(VERSIONS)}"


@check("the validation finds a key that does not exist and a value of another type")
def schemas_can_fail():
    _, objects = overlays()[0]
    for path, value in ((["spec", "replica"], 3), (["spec", "minReadySeconds"], "soon")):
        wrong = json.loads(json.dumps(of_kind(objects, "Deployment")))
        wrong[path[0]][path[1]] = value
        try:
            kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)
        except kubernetes_validate.ValidationError:
            continue
        raise AssertionError(f"{path} was accepted")


@check("each overlay has every object, in its namespace, each once")
def whole():
    wanted = sorted(["Namespace", "ServiceAccount", "ConfigMap", "Secret", "NetworkPolicy", "NetworkPolicy", "Job", "Deployment", "Service",
                     "PodDisruptionBudget", "HorizontalPodAutoscaler"])
    for name, objects in overlays():
        equal(sorted(one["kind"] for one in objects), wanted, name)
        for one in objects:
            if one["kind"] != "Namespace":
                equal(one["metadata"]["namespace"], "hallpass", f"{name}: {one['kind']}")
        names = [(one["kind"], one["metadata"]["name"]) for one in objects]
        equal(len(names), len(set(names)), f"{name}: names")


@check("every pod meets the restricted standard, writes to its state alone and asks nothing of the cluster")
def restricted():
    for name, objects in overlays():
        equal(of_kind(objects, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted", name)
        equal(of_kind(objects, "ServiceAccount")["automountServiceAccountToken"], False, name)
        for pod in pods(objects):
            spec = pod["spec"]
            context = spec["securityContext"]
            equal((context["runAsNonRoot"], context["runAsUser"], context["runAsGroup"], context["fsGroup"]), (True, USER, USER, USER), name)
            equal(context["seccompProfile"], {"type": "RuntimeDefault"}, name)
            equal((spec["serviceAccountName"], spec["automountServiceAccountToken"], spec["enableServiceLinks"]), ("hallpass", False, False), name)
            assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys(), spec.keys()
            (container,) = spec["containers"]
            equal(container["securityContext"], {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}, name)
            assert container["resources"]["requests"].keys() == {"cpu", "memory"} and "memory" in container["resources"]["limits"], name
            writable = [mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
            equal(writable, ["state"], name)
            volumes = {volume["name"]: volume for volume in spec["volumes"]}
            assert "emptyDir" in volumes["state"] and "sizeLimit" in volumes["state"]["emptyDir"], name
            equal(volumes["secret"]["secret"]["defaultMode"], 0o440, name)
            assert not any("password" in json.dumps(one).lower() for one in container.get("env", [])), "a secret in the environment"


@check("the relay is probed, lives longer than its drain, and is replaced one by one")
def endings():
    for name, objects in overlays():
        deployment = of_kind(objects, "Deployment")["spec"]
        spec, config = deployment["template"]["spec"], settings(objects)
        (container,) = spec["containers"]
        ready, alive = container["readinessProbe"], container["livenessProbe"]
        equal((ready["httpGet"]["path"], alive["httpGet"]["path"]), ("/readyz", "/healthz"), name)
        delay, grace = seconds(config["drain_delay"]), seconds(config["grace"])
        unready = ready["periodSeconds"] * ready["failureThreshold"] + ready["timeoutSeconds"]
        assert delay >= unready, f"{name}: it closes before the probe has failed: {delay} s, {unready} s"
        assert spec["terminationGracePeriodSeconds"] >= delay + grace + 10, name
        equal(deployment["strategy"]["rollingUpdate"], {"maxUnavailable": 0, "maxSurge": 1}, name)
        assert "replicas" not in deployment, "each apply would undo what the autoscaler did"
        budget, scaler = of_kind(objects, "PodDisruptionBudget")["spec"], of_kind(objects, "HorizontalPodAutoscaler")["spec"]
        assert 0 < budget["minAvailable"] < scaler["minReplicas"], "a node can be drained"
        equal(scaler["scaleTargetRef"]["name"], of_kind(objects, "Deployment")["metadata"]["name"], name)
        (metric,) = scaler["metrics"]
        equal(metric["pods"]["metric"]["name"], "hallpass_tunnels_open", name)


def seconds(duration):
    number, unit = re.fullmatch(r"(\d+)([smh])", duration).groups()
    return int(number) * {"s": 1, "m": 60, "h": 3600}[unit]


@check("the Service and the budget have the relay's pods and not the Job's, the network policies have both")
def selectors():
    for name, objects in overlays():
        relay, trial = (pod["metadata"]["labels"] for pod in pods(objects))
        def selects(selector, labels):
            return selector.items() <= labels.items()
        one_each = [of_kind(objects, "Service")["spec"]["selector"], of_kind(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
                    of_kind(objects, "Deployment")["spec"]["selector"]["matchLabels"],
                    *(one["labelSelector"]["matchLabels"] for one in pods(objects)[0]["spec"]["topologySpreadConstraints"])]
        for selector in one_each:
            equal((selects(selector, relay), selects(selector, trial)), (True, False), f"{name}: {selector}")
        policies = [one["spec"] for one in objects if one["kind"] == "NetworkPolicy"]
        for policy in policies:
            selector = policy["podSelector"]["matchLabels"]
            equal((selects(selector, relay), selects(selector, trial)), (True, True), f"{name}: {selector}")
            equal(sorted(policy["policyTypes"]), ["Egress", "Ingress"], name)
        port = settings(objects)["listen"][0].rpartition(":")[2]
        (container,) = pods(objects)[0]["spec"]["containers"]
        equal(str(container["ports"][0]["containerPort"]), port, name)
        equal(of_kind(objects, "Service")["spec"]["ports"][0]["targetPort"], container["ports"][0]["name"], name)
        ingress = {str(entry["port"]) for policy in policies for rule in policy["ingress"] for entry in rule["ports"]}
        equal(ingress, {port}, f"{name}: ports that are open")
        assert all(rule.get("from") for policy in policies for rule in policy["ingress"]), "open to everybody"
        assert all(rule.get("to") for policy in policies for rule in policy["egress"]), "everything can be reached"
        upstream = settings(objects)["upstreams"]["office"]["url"].rpartition(":")[2]
        outgoing = {(entry["protocol"], str(entry["port"])) for policy in policies for rule in policy["egress"] for entry in rule["ports"]}
        assert {("TCP", upstream), ("UDP", "53"), ("TCP", "53")} <= outgoing, outgoing
        equal(("TCP", "88") in outgoing, name == "keytab", f"{name}: KDCs")


@check("another content of the configuration or of the Secret has another name, in the Deployment and in the Job alike")
def names():
    with Copy() as copy:
        for overlay, (secret, _) in OVERLAYS.items():
            def used():
                objects = list(yaml.safe_load_all(copy.build(copy.overlay(overlay))))
                volumes = [{volume["name"]: volume for volume in pod["spec"]["volumes"]} for pod in pods(objects)]
                found = {(one["config"]["configMap"]["name"], one["secret"]["secret"]["secretName"]) for one in volumes}
                equal(len(found), 1, "the Job tries what the Deployment gets")
                made = (of_kind(objects, "ConfigMap")["metadata"]["name"], of_kind(objects, "Secret")["metadata"]["name"])
                equal(found.pop(), made, overlay)
                assert all(re.fullmatch(r"hallpass-[0-9a-z]{10}", name) for name in made), made
                content = base64.b64decode(of_kind(objects, "Secret")["data"][secret]).decode()
                return made, content
            before, first = used()
            copy.put(overlay, secret, "another\n")
            after, second = used()
            equal((first, second), (f"the {secret}\n", "another\n"), "what is in it")
            assert before[0] == after[0] and before[1] != after[1], (before, after)


@check("hallpass accepts each overlay's configuration, and lets in pods and nodes with a token only")
def configurations():
    for name, objects in overlays():
        config = settings(objects)
        assert config["access"]["token"].startswith("${file:/run/secrets/hallpass/"), "clients must show a token"
        for network in config["access"]["allow"] + config["access"]["metrics"]:
            assert ipaddress.ip_network(network).prefixlen > 0, "the whole world"
        with Copy() as copy:
            # A keytab must be there when the configuration is read; the secrets of this machine are elsewhere.
            keytab = copy.directory / "keytab"
            keytab.touch(0o600)
            path = copy.directory / "hallpass.toml"
            path.write_text(of_kind(objects, "ConfigMap")["data"]["hallpass.toml"].replace("/run/secrets/hallpass/keytab", str(keytab)))
            path.chmod(0o600)
            done = subprocess.run([hallpass(), "config", "check", "--config", path], capture_output=True, text=True, env={"HOME": str(copy.directory)})
            equal(done.returncode, 0, f"{name}: {done.stderr}")
            assert "listens on 0.0.0.0:3128" in done.stdout, done.stdout


@check("the Job tries once and is over, with the program's own command")
def trial():
    for name, objects in overlays():
        job = of_kind(objects, "Job")["spec"]
        equal((job["backoffLimit"], job["completions"], job["parallelism"]), (0, 1, 1), name)
        equal(job["template"]["spec"]["restartPolicy"], "Never", name)
        (container,) = job["template"]["spec"]["containers"]
        equal(container["args"], ["config", "check", "--try", "$(TRY_TARGET)"], name)
        (target,) = container["env"]
        arguments = [target["value"] if one == "$(TRY_TARGET)" else one for one in container["args"]]
        # Without a proxy it says so and shows nothing to anybody.
        done = subprocess.run([hallpass(), *arguments, "--no-config"], capture_output=True, text=True, env={"HOME": "/nonexistent"})
        equal(done.returncode, 1, done.stdout + done.stderr)
        assert "No proxy was tried" in done.stderr, done.stderr


@check("the waves of Argo CD bring the configuration before the Job and the Job before the relay")
def waves():
    order = {"Namespace": -3, "ServiceAccount": -2, "ConfigMap": -2, "Secret": -2, "NetworkPolicy": -2, "Job": -1}
    for name, objects in overlays():
        for one in objects:
            wave = int(one["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", "0"))
            equal(wave, order.get(one["kind"], 0), f"{name}: {one['kind']} {one['metadata']['name']}")


@check("no secret is among the files of the overlays, nor can it get there from a copy of one of them")
def no_secrets():
    tracked = subprocess.run(["git", "ls-files", str(KUBERNETES)], capture_output=True, text=True, check=True, cwd=KUBERNETES).stdout
    assert "kustomization.yaml" in tracked and "/secret/" not in tracked, tracked
    with Copy() as copy:
        for overlay, names in OVERLAYS.items():
            # An operator's own repository, which holds this overlay alone.
            git = ["git", "-c", "safe.directory=*", "-C", copy.overlay(overlay)]
            subprocess.run([*git, "init", "--quiet"], check=True)
            subprocess.run([*git, "add", "--all"], check=True)
            added = subprocess.run([*git, "ls-files"], capture_output=True, text=True, check=True).stdout.splitlines()
            assert "kustomization.yaml" in added and not [name for name in added if name.startswith("secret/")], added
            equal(sorted(path.name for path in (copy.overlay(overlay) / "secret").iterdir()), sorted(names), "what is there all the same")
