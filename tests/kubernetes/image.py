"""The image: built, unpacked and run as a cluster would run it, by an account that is nobody on this machine."""
import functools
import gzip
import hashlib
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
from pathlib import Path

from checks import check, hallpass
from support import network
from support.facts import ROOT, TARGET, equal, waiter

USER = 65532
OUTER = 400_000   # where the container's numbers begin on this machine
CONFIG = """\
listen = ["0.0.0.0:3128"]
grace = "1s"
[upstreams.office]
url = "http://127.0.0.1:8080"
schemes = ["basic"]
[credentials.service]
user = "svc"
password = "${file:/run/secrets/hallpass/password}"
[access]
users = "any"
allow = ["10.0.0.0/8"]
"""
wait_for = waiter(20, pause=0.02)


@functools.cache
def image():
    """The archive, and what the building of it said."""
    out = TARGET / "container"
    shutil.rmtree(out, ignore_errors=True)
    return built(out)


def built(out, *options):
    done = subprocess.run([ROOT / "packaging" / "container" / "build", "--binary", hallpass(), "--out", out, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    digest, name = done.stdout.split()
    archive = out / name
    equal(hashlib.sha256(archive.read_bytes()).hexdigest(), digest, "what is said of it")
    return archive


class Layout:
    """An OCI archive: https://github.com/opencontainers/image-spec"""

    def __init__(self, archive):
        with tarfile.open(archive) as tar:
            self.blobs = {member.name.removeprefix("./"): tar.extractfile(member).read() for member in tar if member.isfile()}
        assert json.loads(self.blobs["oci-layout"])["imageLayoutVersion"] == "1.0.0"
        (index,) = json.loads(self.blobs["index.json"])["manifests"]
        self.manifest = json.loads(self.blob(index))
        self.config = json.loads(self.blob(self.manifest["config"]))

    def blob(self, descriptor):
        content = self.blobs["blobs/" + descriptor["digest"].replace(":", "/")]
        equal((len(content), "sha256:" + hashlib.sha256(content).hexdigest()), (descriptor["size"], descriptor["digest"]), "a blob")
        return content

    def layers(self):
        for descriptor in self.manifest["layers"]:
            content = self.blob(descriptor)
            yield tarfile.open(fileobj=io.BytesIO(gzip.decompress(content) if descriptor["mediaType"].endswith("gzip") else content))

    def members(self):
        return [member for layer in self.layers() for member in layer]

    def file(self, name):
        [(layer, member)] = [(layer, member) for layer in self.layers() for member in layer if member.name == name]
        return layer.extractfile(member).read().decode()


@check("the image says who it is, runs as nobody in particular and holds no shell, no setuid and no second program")
def content():
    layout = Layout(image())
    config = layout.config["config"]
    equal((config["User"], config["Entrypoint"], config["Cmd"]), (f"{USER}:{USER}", ["/usr/bin/hallpass"], ["serve"]), "what runs")
    equal(list(config["Volumes"]), ["/var/lib/hallpass"], "volumes")
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
    revision = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()
    equal(labels["revision"], revision, "labels")
    equal(labels["created"], layout.config["created"], "times")
    assert labels.keys() == {"title", "description", "licenses", "version", "revision", "created"}, labels
    # What rpm says of itself, because it is the same program.
    target = subprocess.check_output([ROOT / "packaging" / "target", hallpass()], text=True).strip()
    expression = subprocess.check_output([ROOT / "packaging" / "inventory", "expression", "--target", target], text=True).strip()
    equal(labels["licenses"], expression, "licences")
    assert {"MIT", "MPL-2.0"} <= set(expression.split(" AND ")), expression
    members = layout.members()
    files = [member for member in members if member.isfile()]
    programs = [member.name for member in files if member.mode & 0o111 and not member.name.startswith(("lib", "usr/lib"))]
    equal(programs, ["usr/bin/hallpass"], "programs")
    assert not [member.name for member in members if member.mode & 0o6000], "setuid"
    assert not [member.name for member in members if member.isdev() or member.ischr() or member.isblk()], "devices"
    open_to_all = [member.name for member in members if member.mode & 0o002 and not member.issym() and member.name != "tmp"]
    equal(open_to_all, [], "what anybody may write")
    owners = {(member.uid, member.name) for member in members if member.uid != 0}
    equal(owners, {(USER, "var/lib/hallpass")}, "what is not root's")
    names = {member.name for member in members}
    assert "etc/ssl/certs/ca-certificates.crt" in names and "usr/share/doc/hallpass/copyright" in names
    licences = layout.file("usr/share/doc/hallpass/licences.txt")
    assert "Fabrice Bellard" in licences and "rustls" in licences and "Mozilla Public License" in licences, licences[:1000]
    packages = {name.removeprefix("var/lib/dpkg/status.d/") for name in names if name.startswith("var/lib/dpkg/status.d/")}
    assert {"libc6", "libgssapi-krb5-2", "ca-certificates"} <= packages, packages
    unpacked, packed = sum(member.size for member in files), image().stat().st_size
    return f"{packed / 2**20:.1f} MiB packed, {unpacked / 2**20:.1f} MiB unpacked, of which hallpass {next(m.size for m in files if m.name == 'usr/bin/hallpass') / 2**20:.1f}; {len(packages)} packages"


@check("a second build of the same is the same, byte for byte")
def reproducible():
    with tempfile.TemporaryDirectory() as directory:
        again = built(Path(directory), "--root", str(image().parent / "target" / "root"))
        equal(again.read_bytes() == image().read_bytes(), True, "the archives")
        return hashlib.sha256(again.read_bytes()).hexdigest()


class Container:
    """One container by crun: a user namespace whose root is nobody, a read-only root, no capability, nothing to write but its volume."""

    def __init__(self, *arguments, config=CONFIG):
        self.directory = Path(tempfile.mkdtemp(prefix="hallpass-container-"))
        self.directory.chmod(0o755)
        self.root = self.directory / "rootfs"
        self.root.mkdir()
        for layer in Layout(image()).layers():
            layer.extraction_filter = lambda member, _: member   # as it is; what came later wants to be told
            layer.extractall(self.root, numeric_owner=True)
        self.volume, self.config, self.secret = (self.directory / name for name in ("state", "config", "secret"))
        for path in (self.volume, self.config, self.secret):
            path.mkdir(mode=0o755)
        # As an emptyDir and a Secret are, with their fsGroup.
        password = self.secret / "password"
        password.write_text("not this one\n")
        for path, mode in ((self.volume, 0o2777), (password, 0o440)):
            os.chown(path, OUTER, OUTER + USER)
            path.chmod(mode)
        (self.config / "hallpass.toml").write_text(config)
        self.name = self.directory.name
        (self.directory / "config.json").write_text(json.dumps(self.specification(arguments)))
        self.log = self.directory / "log"
        with self.log.open("wb") as log:
            # crun knows no hybrid of both kinds of cgroups, and none of either is wanted here.
            alone = ["unshare", "--mount", "--propagation=private", "sh", "-ec", 'mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec "$@"', "sh"]
            self.process = subprocess.Popen([*alone, *self.crun("--cgroup-manager=disabled", "run", "--bundle", self.directory, self.name)],
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def crun(self, *arguments):
        return ["crun", "--root", self.directory / "crun", *arguments]

    def specification(self, arguments):
        image_config = Layout(image()).config["config"]
        numbers = [{"containerID": 0, "hostID": OUTER, "size": USER + 1}]
        bind = lambda source, destination, *options: {"type": "bind", "source": str(source), "destination": destination, "options": ["bind", "nosuid", "nodev", *options]}
        return {
            "ociVersion": "1.0.0",
            "process": {
                "user": {"uid": USER, "gid": USER}, "args": [*image_config["Entrypoint"], *(arguments or image_config["Cmd"])],
                "env": image_config["Env"], "cwd": image_config["WorkingDir"], "noNewPrivileges": True,
                "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")}},
            "root": {"path": "rootfs", "readonly": True},
            "mounts": [{"type": "proc", "source": "proc", "destination": "/proc"},
                       {"type": "tmpfs", "source": "tmpfs", "destination": "/dev", "options": ["nosuid", "mode=755", "size=64k"]},
                       bind(self.config, "/etc/hallpass", "ro"), bind(self.secret, "/run/secrets/hallpass", "ro"), bind(self.volume, "/var/lib/hallpass")],
            "linux": {"namespaces": [{"type": kind} for kind in ("user", "mount", "pid", "ipc", "uts", "network", "cgroup")],
                      "uidMappings": numbers, "gidMappings": numbers}}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(self.crun("delete", "--force", self.name), capture_output=True)
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory)

    def pid(self):
        """Of its first process, as this machine counts."""
        def found():
            state = subprocess.run(self.crun("state", self.name), capture_output=True, text=True)
            return state.returncode == 0 and json.loads(state.stdout)["pid"]
        return self.until("the container to run", found)

    def execute(self, *command):
        """What a command says that runs beside it."""
        done = subprocess.run(self.crun("--cgroup-manager=disabled", "exec", "--user", f"{USER}:{USER}", self.name, *command), capture_output=True, text=True)
        equal(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def until(self, what, fact):
        def found():
            value = fact()
            assert value or self.process.poll() is None, f"it ended with {self.process.returncode}"
            return value
        try:
            return wait_for(what, found)
        except AssertionError as error:
            error.add_note(f"its log: {self.log.read_text()}")
            raise

    def inside(self):
        """Sockets made in here belong to its network."""
        return network.inside(self.pid())

    def ask(self, *request):
        """The status of its answer, 0: there is none."""
        with self.inside():
            connection = http.client.HTTPConnection("127.0.0.1", 3128, timeout=10)
            try:
                connection.request(*request)
                return connection.getresponse().status
            except OSError:
                return 0
            finally:
                connection.close()


def refuse(listener, shown):
    """A proxy that takes no password, and notes each that it is shown."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, connection.makefile("rb") as lines:
            shown.extend(line for line in read(lines) if line.lower().startswith(b"proxy-authorization:"))
            connection.sendall(b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="r"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')


def read(lines):
    """The lines of one head."""
    head = []
    while (line := lines.readline().strip()):
        head.append(line)
    return head


@check("it serves with a read-only root, without a capability, as an account that is nobody here, and writes to its volume alone")
def runs():
    with Container() as container:
        container.until("/readyz", lambda: container.ask("GET", "/readyz") == 200)
        equal(container.ask("GET", "/healthz"), 200, "/healthz")
        pid = container.pid()
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
        equal(set(status["Uid"].split()), {str(OUTER + USER)}, "its number on this machine")
        equal({key: int(status[key], 16) for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}, dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0), "capabilities")
        equal(status["NoNewPrivs"], "1", "new privileges")
        mounts = {fields[4]: fields[5].split(",") for fields in map(str.split, Path(f"/proc/{pid}/mountinfo").read_text().splitlines())}
        assert "ro" in mounts["/"] and "ro" in mounts["/etc/hallpass"] and "rw" in mounts["/var/lib/hallpass"], mounts
        with container.inside():
            proxy = socket.create_server(("127.0.0.1", 8080))
        shown = []
        threading.Thread(target=refuse, args=(proxy, shown), daemon=True).start()
        for _ in range(2):
            equal(container.ask("GET", "http://example.com/"), 407, "a rejected password")
        equal(len(shown), 1, "passwords shown")
        # As `kubectl exec` would: how it stands, and one more try for whoever has unlocked the account.
        status = container.execute("/usr/bin/hallpass", "status")
        assert "svc rejected by http://127.0.0.1:8080" in status, status
        container.execute("/usr/bin/hallpass", "status", "--retry")
        container.until("one more try", lambda: container.ask("GET", "http://example.com/") == 407 and len(shown) == 2)
        proxy.close()
        record = container.volume / "hallpass" / "lockout.json"
        equal((record.stat().st_uid, record.stat().st_mode & 0o777), (OUTER + USER, 0o600), "the record")
        began = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        equal(container.process.wait(20), 0, container.log.read_text())
        took = time.monotonic() - began
        log = container.log.read_text()
        assert "listening on 0.0.0.0:3128" in log and "stopping" in log and "cannot be written" not in log, log
        written = sorted(str(path.relative_to(container.volume)) for path in container.volume.rglob("*"))
        return f"ended {took:.2f} s after SIGTERM; in its volume: {', '.join(written) or 'nothing'}"


@check("the trial of a credential runs in it, says what is wrong and ends with 1")
def tries():
    with Container("config", "check", "--try", "example.com:443") as container:
        equal(container.process.wait(20), 1, container.log.read_text())
        assert "http://127.0.0.1:8080 cannot be used" in container.log.read_text(), container.log.read_text()


@check("without a configuration it ends at once with 2 and says which file it misses")
def unconfigured():
    with Container("serve", "--config", "/etc/hallpass/missing.toml") as container:
        equal(container.process.wait(20), 2, container.log.read_text())
        assert "/etc/hallpass/missing.toml" in container.log.read_text(), container.log.read_text()
