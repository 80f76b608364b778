//! A password that is changed where it is kept, as a mounted Secret or a credential of systemd is: without a restart, a
//! reload or a bad log-on.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hallpass::practice::{Account, DigestAlgorithm, Offer};
use tokio::task::JoinSet;

use crate::support::{Office, OfficePlan, PASSWORD, Relay, RelayPlan};

const CONNECT: &str = "CONNECT origin.practice:80 HTTP/1.1\r\nHost: origin.practice:80\r\n\r\n";
const SCHEMES: &str = "schemes = [\"ntlm\", \"digest\", \"basic\"]";
/// More than the files of secrets are left alone for.
const A_MOMENT: Duration = Duration::from_millis(200);

/// A directory as Kubernetes mounts a Secret: the files are links through `..data`, which is replaced as a whole.
struct Mounted {
    directory: tempfile::TempDir,
    versions: usize,
}

impl Mounted {
    fn with(password: &str) -> Self {
        let mut mounted = Self { directory: tempfile::tempdir().unwrap(), versions: 0 };
        symlink("..data/password", mounted.path()).unwrap();
        mounted.put(password);
        mounted
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("password")
    }

    fn words(&self) -> String {
        format!("${{file:{}}}", self.path().display())
    }

    fn put(&mut self, password: &str) {
        self.versions += 1;
        let name = format!("..version_{}", self.versions);
        let version = self.directory.path().join(&name);
        fs::create_dir(&version).unwrap();
        write(&version.join("password"), password);
        let link = self.directory.path().join("..data_tmp");
        symlink(name, &link).unwrap();
        fs::rename(link, self.directory.path().join("..data")).unwrap();
    }
}

fn write(path: &Path, password: &str) {
    fs::write(path, password).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn office(offer: Offer, state: &Path, password: &str) -> OfficePlan {
    // Log-ins begun ahead hold on to a password for up to two seconds.
    let relay = |plan: RelayPlan| plan.state(state).key("warm_handshakes = 0");
    Office::with([offer]).upstream(SCHEMES).relay(relay).password(password)
}

fn alice(password: &str) -> [Account; 1] {
    [Account::new("PRACTICE", "alice", password)]
}

async fn statuses(relay: &Relay, count: usize) -> Vec<u16> {
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let mut client = relay.client().await;
        clients.spawn(async move { client.ask_head(CONNECT).await.status() });
    }
    clients.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_changes_in_its_file_and_in_the_directory_costs_no_bad_logon() {
    for offer in [Offer::Ntlm, Offer::Digest(DigestAlgorithm::Md5), Offer::Basic] {
        let state = tempfile::tempdir().unwrap();
        let mut mounted = Mounted::with(PASSWORD);
        let office = office(offer, state.path(), &mounted.words()).start().await;
        assert_eq!(statuses(&office.relay, 20).await, [200; 20], "{offer:?}");
        for password in ["second", "third"] {
            mounted.put(password);
            office.accounts.replace(alice(password));
            office.relay.skip(A_MOMENT);
            assert_eq!(statuses(&office.relay, 20).await, [200; 20], "{offer:?} {password}");
            assert_eq!(office.logons().rejected, 0, "{offer:?} {password}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_changes_in_the_directory_first_costs_one_bad_logon_until_its_file_follows() {
    let state = tempfile::tempdir().unwrap();
    let mut mounted = Mounted::with(PASSWORD);
    let office = office(Offer::Ntlm, state.path(), &mounted.words()).start().await;
    assert_eq!(statuses(&office.relay, 1).await, [200]);
    office.accounts.replace(alice("second"));
    for _ in 0..5 {
        assert_eq!(statuses(&office.relay, 1).await, [407]);
    }
    assert_eq!(office.logons().rejected, 1);
    mounted.put("second");
    office.relay.skip(A_MOMENT);
    assert_eq!(statuses(&office.relay, 20).await, [200; 20], "at once, and nobody had to say so");
    assert_eq!(office.logons().rejected, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_a_file_and_one_that_is_gone_leave_what_was_good() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("password");
    write(&path, PASSWORD);
    let words = format!("${{file:{}}}", path.display());
    let office = office(Offer::Ntlm, state.path(), &words).start().await;
    assert_eq!(statuses(&office.relay, 5).await, [200; 5]);
    write(&path, "");
    office.relay.skip(A_MOMENT);
    assert_eq!(statuses(&office.relay, 5).await, [200; 5], "opened to be written");
    fs::remove_file(&path).unwrap();
    office.relay.skip(A_MOMENT);
    assert_eq!(statuses(&office.relay, 5).await, [200; 5], "about to be replaced");
    write(&path, "second");
    office.accounts.replace(alice("second"));
    office.relay.skip(A_MOMENT);
    assert_eq!(statuses(&office.relay, 5).await, [200; 5]);
    assert_eq!(office.logons().rejected, 0);
}
