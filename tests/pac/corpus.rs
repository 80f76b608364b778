//! Every script of the corpus answers for every URL; the answers are written down for the comparison with other engines.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallpass::route::pac::{Host, Pac, text};
use serde::Deserialize;

use crate::support::LIMITS;

/// So that scripts that throw dice throw the same in every engine.
const NO_CHANCE: &str = "Math.random = function () { return 0.5; };\n";

#[derive(Deserialize)]
struct World {
    now: String,
    my_addresses: Vec<IpAddr>,
    names: BTreeMap<String, Vec<IpAddr>>,
    #[serde(skip, default = "Instant::now")]
    begun: Instant,
}

impl Host for World {
    fn resolve(&self, name: &str, _: Duration) -> Vec<IpAddr> {
        self.names.get(name).cloned().unwrap_or_default()
    }

    fn my_addresses(&self) -> Vec<IpAddr> {
        self.my_addresses.clone()
    }

    fn now(&self) -> jiff::Zoned {
        self.now.parse().unwrap()
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    fn alert(&self, text: &str) {
        panic!("no script of the corpus says anything: {text}");
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pac")
}

fn scripts() -> Vec<(String, String)> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "pac"));
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_string();
    files.iter().map(|path| (name(path), text::decode(&fs::read(path).unwrap(), None))).collect()
}

/// URL and host, as a browser hands them to a script.
fn questions() -> Vec<(String, String)> {
    let list = fs::read_to_string(directory().join("urls.txt")).unwrap();
    let host = |url: &str| {
        let authority = url.split("://").nth(1).unwrap().split('/').next().unwrap();
        match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap().to_string(),
            None => authority.split(':').next().unwrap().to_string(),
        }
    };
    list.lines().map(|url| (url.into(), host(url))).collect()
}

#[test]
fn every_script_of_the_corpus_answers_for_every_url() {
    let (scripts, questions) = (scripts(), questions());
    assert!(scripts.len() >= 40, "{} scripts", scripts.len());
    assert_eq!(questions.len(), 200);
    let world = fs::read_to_string(directory().join("world.json")).unwrap();
    let mut answers = BTreeMap::new();
    let mut all = HashSet::new();
    for (name, script) in &scripts {
        let world: World = serde_json::from_str(&world).unwrap();
        let pac = Pac::compile(&format!("{NO_CHANCE}{script}"), LIMITS, Arc::new(world));
        let pac = pac.unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut returned = Vec::new();
        for (url, host) in &questions {
            let answer = pac.evaluate(url, host).unwrap_or_else(|error| panic!("{name} {url}: {error}"));
            all.insert(answer.hops.clone());
            returned.push(answer.returned.clone());
        }
        answers.insert(name.clone(), returned);
    }
    assert!(all.len() > 150, "only {} different routes", all.len());
    let now: jiff::Zoned = serde_json::from_str::<World>(&world).unwrap().now();
    let written = serde_json::json!({
        "questions": questions,
        "scripts": scripts,
        "answers": answers,
        "no_chance": NO_CHANCE,
        "now": now.timestamp().as_millisecond(),
        "world": serde_json::from_str::<serde_json::Value>(&world).unwrap(),
    });
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pac-answers.json");
    fs::write(&target, serde_json::to_string(&written).unwrap()).unwrap();
}
