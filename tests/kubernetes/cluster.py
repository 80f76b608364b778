"""As much of Kubernetes' API as `rollout` needs of it, for kubectl itself: objects are kept as they are sent, and in which order."""
import http.server
import json
import threading
from urllib.parse import urlsplit

# Kind, plural, whether it is in a namespace; by group and version.
KINDS = {
    "v1": [("Namespace", "namespaces", False), ("ServiceAccount", "serviceaccounts", True), ("ConfigMap", "configmaps", True),
           ("Secret", "secrets", True), ("Service", "services", True), ("Pod", "pods", True)],
    "apps/v1": [("Deployment", "deployments", True)],
    "batch/v1": [("Job", "jobs", True)],
    "networking.k8s.io/v1": [("NetworkPolicy", "networkpolicies", True)],
    "policy/v1": [("PodDisruptionBudget", "poddisruptionbudgets", True)],
    "autoscaling/v2": [("HorizontalPodAutoscaler", "horizontalpodautoscalers", True)],
}
READY = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}


class Cluster:
    """`trial` is what the Job comes to as soon as it is there: its status."""

    def __init__(self, trial):
        self.trial, self.objects = trial, {}
        self.created, self.changed, self.deleted = [], [], []   # kinds
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, said = outer.asked(self.command, urlsplit(self.path).path, json.loads(body) if body else None)
                content = said.encode() if isinstance(said, str) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain" if isinstance(said, str) else "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            do_GET = do_POST = do_DELETE = do_PATCH = answer

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.server.server_address[1]

    def asked(self, method, path, sent):
        if path == "/openapi/v2":
            return 200, ""   # no schema: kubectl checks nothing, which other tests do
        if method == "GET" and path in ("/api", "/apis"):
            return 200, groups(path)
        version = path.removeprefix("/apis/").removeprefix("/api/")
        if method == "GET" and version in KINDS:
            return 200, {"kind": "APIResourceList", "groupVersion": version, "resources": [
                {"name": plural, "singularName": "", "namespaced": inside, "kind": kind, "verbs": ["create", "delete", "get", "list", "patch", "watch"]}
                for kind, plural, inside in KINDS[version]]}
        if method == "POST":
            return 201, self.create(path, sent)
        if method == "DELETE" and path in self.objects:
            self.deleted.append(self.objects[path]["kind"])
            return 200, self.objects.pop(path)
        if method == "PATCH" and path in self.objects:
            self.changed.append(self.objects[path]["kind"])
            return 200, self.objects[path]
        if method == "GET" and path.endswith("/log"):
            return 200, "what the trial said\n"
        if method == "GET" and path in self.objects:
            return 200, self.objects[path]
        if method == "GET" and path.rpartition("/")[2] in plurals():
            return 200, self.listed(path)
        return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": f"{path} not found"}

    def create(self, path, sent):
        sent["metadata"].update(uid="0", generation=1)
        if sent["kind"] == "Job":
            sent["status"] = self.trial
            sent["spec"]["selector"] = {"matchLabels": {"job-name": "hallpass-trial"}}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "trial", "namespace": "hallpass"}, "spec": {"containers": [{"name": "trial"}]},
                   "status": {"phase": "Succeeded"}}
            self.objects["/api/v1/namespaces/hallpass/pods/trial"] = pod
        if sent["kind"] == "Deployment":
            sent["spec"]["replicas"], sent["status"] = 1, READY
        self.created.append(sent["kind"])
        self.objects[f"{path}/{sent['metadata']['name']}"] = sent
        return sent

    def listed(self, path):
        version = path.split("/namespaces/")[0].removeprefix("/apis/").removeprefix("/api/")
        kind = next(kind for kind, plural, _ in KINDS[version] if plural == path.rpartition("/")[2])
        items = [one for place, one in self.objects.items() if place.rpartition("/")[0] == path]
        return {"kind": f"{kind}List", "apiVersion": version, "metadata": {"resourceVersion": "1"}, "items": items}


def plurals():
    return {plural for kinds in KINDS.values() for _, plural, _ in kinds}


def groups(path):
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    named = [version for version in KINDS if "/" in version]
    versions = [{"groupVersion": version, "version": version.split("/")[1]} for version in named]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
        {"name": version["groupVersion"].split("/")[0], "versions": [version], "preferredVersion": version} for version in versions]}
