//! Every tool on files as people have them: written, written again, undone.

use super::change::{ChangeError, Kept, undo, write};
use super::syntax::Dialect;
use super::*;

fn trust() -> Option<Trust<'static>> {
    Some(Trust { extra: Path::new("/corp's.pem"), combined: Path::new("/state/all.pem") })
}

fn home(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/a".into()),
        "USERPROFILE" => Some(r"C:\Users\a".into()),
        "APPDATA" => Some(r"C:\Users\a\AppData\Roaming".into()),
        _ => None,
    }
}

fn asked(port: u16, trust: Option<Trust<'static>>) -> Asked<'static> {
    Asked {
        relay: SocketAddr::from(([127, 0, 0, 1], port)),
        for_containers: Some(SocketAddr::from(([172, 17, 0, 1], port))),
        trust,
        variable: &home,
        system: "linux",
    }
}

fn recipe(tool: &Tool, asked: &Asked<'_>) -> FileRecipe {
    match tool.recipe(asked).unwrap() {
        Recipe::File(recipe) => recipe,
        Recipe::Advice(text) => panic!("{tool:?} has no file: {text}"),
    }
}

fn with_files() -> impl Iterator<Item = &'static Tool> {
    ALL.iter().filter(|tool| tool.syntax.is_some())
}

/// As people have them; some with a proxy of their own.
fn samples(syntax: Syntax) -> Vec<&'static str> {
    match syntax {
        Syntax::Json => vec![
            "{}",
            "{\n\t\"a\": 1\n}",
            "// mine\n{\n  \"env\": { \"HTTP_PROXY\": \"http://old:8080\", \"NO_PROXY\": \"corp.example\" }, // here\n  \"http.proxy\": \"http://old:8080\",\n  \"z\": [1, 2,],\n}\n",
            "{\"proxies\": {\"default\": {\"httpProxy\": \"http://old\"}}, \"auths\": {\"r\": {\"auth\": \"c2VjcmV0\"}}}",
            "{\n    \"proxies\": {},\n    \"env\": {}\n}\n",
        ],
        Syntax::Toml => vec![
            "# mine\n[build]\njobs = 2 # two\n\n[http]\nproxy = 'old:1'   # was\ncheck-revoke = false\n",
            "[target.x86_64-unknown-linux-gnu]\nlinker = \"clang\"",
            "[http]\n",
            "http = { timeout = 5 }\n[alias]\nb = \"build\"\n",
        ],
        Syntax::Lines(Dialect::Git) => vec![
            "[user]\n\tname = A\n\temail = a@example.com\n[include]\n\tpath = ~/work\n[http \"https://x\"]\n\tproxy = y\n",
            "[http]\n\tproxy = \"http://old:8080\" ; why\n[core]\n\teditor = vi",
            "[http]\n",
        ],
        Syntax::Lines(Dialect::Npm) => vec![
            "//packages.corp.example/:_authToken=npm_x\nproxy=http://old:8080/\n; c\nnoproxy=corp.example\n",
            "fund=false",
            "[section]\na=b\n",
        ],
        Syntax::Lines(Dialect::Pip) => vec![
            "[global]\nindex-url = https://x/simple\ntrusted-host =\n  a\n  b\n[install]\nno-cache = yes\n",
            "[GLOBAL]\nproxy = x\n\n[global]\nproxy: http://old:1",
        ],
        Syntax::Lines(Dialect::Properties) => {
            vec!["org.gradle.jvmargs=-Xmx2g \\\n -Dx=y\nsystemProp.http.proxyHost = old\n! c\n", "umlaut=\u{fc}"]
        }
        Syntax::Maven => vec![
            "<settings>\n</settings>",
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<settings xmlns=\"http://maven.apache.org/SETTINGS/1.0.0\">\n  <!-- c -->\n  <servers><server><id>s</id><password>p &amp; q</password></server></servers>\n  <proxies>\n    <proxy>\n      <id>corp</id>\n      <active>true</active>\n      <protocol>http</protocol>\n      <host>old</host>\n      <port>80</port>\n    </proxy>\n  </proxies>\n</settings>\n",
            "<settings><proxies/></settings>\n",
            "<settings>\n  <proxies>\n  </proxies>\n</settings>\n",
        ],
        Syntax::Block(_) => vec!["# ~/.bashrc\ncase $- in *i*) ;; *) return;; esac\nexport A=1", "\n\n\n"],
        Syntax::Whole => vec!["Acquire::http::Proxy \"http://old:8080\";\n"],
    }
}

/// Each also as an editor of Windows would save it, with and without an end, and with what is no UTF-8.
fn shapes(syntax: Syntax) -> Vec<Option<Vec<u8>>> {
    let mut all = vec![None, Some(Vec::new()), Some(b"\n".to_vec())];
    for sample in samples(syntax) {
        let windows = sample.replace('\n', "\r\n");
        let (bare, ended) = (sample.trim_end(), format!("{}\n", sample.trim_end()));
        for text in [sample, windows.as_str(), bare, ended.as_str()] {
            all.push(Some(text.as_bytes().to_vec()));
            all.push(Some([b"\xef\xbb\xbf", text.as_bytes()].concat()));
        }
        if syntax.takes_any_bytes() && syntax != Syntax::Maven {
            all.push(Some([b"# caf\xe9\n", sample.as_bytes()].concat()));
        }
    }
    all
}

fn said(bytes: Option<&Vec<u8>>) -> String {
    bytes.map_or("nothing".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

#[test]
fn what_was_written_is_undone_to_the_byte_also_when_the_port_has_changed() {
    let mut tried = 0;
    for tool in with_files() {
        for before in shapes(tool.syntax.unwrap()) {
            let mut kept: Option<Kept> = None;
            let mut current = before.clone();
            for (port, trust) in [(3128, None), (3128, None), (20_001, trust()), (3128, None)] {
                let recipe = recipe(tool, &asked(port, trust));
                let written = write(recipe.syntax, &recipe.settings, current.as_deref(), kept.as_ref());
                let written = written.unwrap_or_else(|error| panic!("{tool:?} {}: {error}", said(before.as_ref())));
                let again = write(recipe.syntax, &recipe.settings, Some(&written.bytes), Some(&written.kept)).unwrap();
                assert_eq!(said(Some(&again.bytes)), said(Some(&written.bytes)), "{tool:?}: twice is once");
                (current, kept) = (Some(written.bytes), Some(written.kept));
                let kept = kept.as_ref().unwrap();
                let undone = undo(recipe.syntax, current.as_deref(), kept).unwrap();
                assert_eq!(undone.bytes, before, "{tool:?} {}", said(before.as_ref()));
                assert!(undone.left.is_empty());
                tried += 1;
            }
        }
    }
    assert!(tried > 1000, "{tried}");
}

#[test]
fn every_line_that_was_there_stays_in_its_place_but_those_that_are_replaced() {
    for tool in with_files().filter(|tool| tool.syntax != Some(Syntax::Whole)) {
        for before in shapes(tool.syntax.unwrap()).into_iter().flatten() {
            let recipe = recipe(tool, &asked(3128, trust()));
            let written = write(recipe.syntax, &recipe.settings, Some(&before), None).unwrap();
            let mut rest = written.bytes.split(|byte| *byte == b'\n');
            for line in before.split(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(line).into_owned();
                let bare = line.trim_end().trim_end_matches(',');
                let changes = ["old", "http = {", "noproxy", "\"env\"", "\"proxies\"", "{}"]
                    .iter()
                    .any(|word| line.contains(word));
                if changes || bare.is_empty() || bare.contains("<settings>") || bare.starts_with("\u{feff}") {
                    continue;
                }
                let stays = rest.any(|now| String::from_utf8_lossy(now).starts_with(bare));
                assert!(
                    stays,
                    "{tool:?}: {line:?} of\n{}\nis not in\n{}",
                    said(Some(&before)),
                    said(Some(&written.bytes))
                );
            }
        }
    }
}

#[test]
fn what_somebody_has_added_since_stays_and_ours_goes() {
    for tool in with_files().filter(|tool| tool.syntax != Some(Syntax::Whole)) {
        let syntax = tool.syntax.unwrap();
        let (names, value): (&[&str], &str) = match syntax {
            Syntax::Json => (&["mine"], "1"),
            Syntax::Toml => (&["mine", "x"], "1"),
            Syntax::Lines(Dialect::Git | Dialect::Pip) => (&["mine", "x"], "1"),
            Syntax::Lines(Dialect::Npm | Dialect::Properties) => (&["mine"], "1"),
            Syntax::Maven => (&["mine"], "<proxy><id>mine</id></proxy>"),
            Syntax::Block(_) | Syntax::Whole => continue,
        };
        let mine: Vec<String> = names.iter().map(ToString::to_string).collect();
        for before in samples(syntax) {
            let recipe = recipe(tool, &asked(3128, trust()));
            let written = write(syntax, &recipe.settings, Some(before.as_bytes()), None).unwrap();
            let text = String::from_utf8(written.bytes.clone()).unwrap();
            let edited = syntax.set(&text, &mine, value).unwrap();
            let undone = undo(syntax, Some(edited.as_bytes()), &written.kept).unwrap();
            assert!(undone.left.is_empty(), "{tool:?} {:?}", undone.left);
            let after = String::from_utf8(undone.bytes.unwrap()).unwrap();
            assert_eq!(syntax.get(&after, &mine).unwrap().as_deref(), Some(value), "{tool:?} {after}");
            for setting in &recipe.settings {
                let was = syntax.get(before, &setting.key).unwrap();
                assert_eq!(syntax.get(&after, &setting.key).unwrap(), was, "{tool:?} {:?}\n{after}", setting.key);
            }
            // What the person added also stays when ours is written once more and then taken back.
            let second = write(syntax, &recipe.settings, Some(edited.as_bytes()), Some(&written.kept)).unwrap();
            assert_eq!(second.bytes, edited.as_bytes(), "{tool:?}: nothing was to be done");
            let undone = undo(syntax, Some(&second.bytes), &second.kept).unwrap();
            assert_eq!(undone.bytes.unwrap(), after.as_bytes(), "{tool:?}");
        }
    }
}

#[test]
fn what_somebody_has_changed_since_is_left_and_named() {
    let git = find("git").unwrap();
    let settings = recipe(&git, &asked(3128, None)).settings;
    let syntax = git.syntax.unwrap();
    let written = write(syntax, &settings, Some(b"[http]\n\tproxy = http://old:1\n"), None).unwrap();
    assert_eq!(written.replaced, [("http.proxy".to_string(), "http://old:1".to_string())]);
    let undone = undo(syntax, Some(b"[http]\n\tproxy = http://new:1\n"), &written.kept).unwrap();
    assert_eq!(undone.left, ["http.proxy"]);
    assert_eq!(undone.bytes.unwrap(), b"[http]\n\tproxy = http://new:1\n");
    let gone = undo(syntax, None, &written.kept).unwrap();
    assert_eq!((gone.bytes, gone.left.len()), (None, 0));
}

#[test]
fn a_file_that_is_ours_alone_goes_and_one_with_more_in_it_stays() {
    for tool in with_files().filter(|tool| tool.syntax != Some(Syntax::Whole)) {
        let recipe = recipe(tool, &asked(3128, None));
        let written = write(recipe.syntax, &recipe.settings, None, None).unwrap();
        let with_a_line = [written.bytes.as_slice(), b"\n"].concat();
        assert_eq!(undo(recipe.syntax, Some(&with_a_line), &written.kept).unwrap().bytes, None, "{tool:?}");
    }
}

#[test]
fn what_cannot_be_understood_is_not_changed() {
    let claude = find("claude").unwrap();
    let settings = recipe(&claude, &asked(3128, None)).settings;
    for (bytes, cause) in [
        (&b"{\n \"a\" 1}"[..], "line 2"),
        (b"\xff\xfe{\0}\0", "UTF-16"),
        (b"{\"a\": \"\xe9\"}", "UTF-8"),
        (b"{\"env\": []}", "no object"),
    ] {
        let error: ChangeError = write(Syntax::Json, &settings, Some(bytes), None).unwrap_err();
        assert!(error.to_string().contains(cause), "{error}");
    }
}

#[test]
fn tools_are_found_by_their_names_and_near_ones_are_named() {
    for tool in ALL {
        for name in tool.aliases.iter().chain([&tool.name]) {
            assert_eq!(find(&name.to_uppercase()).unwrap().name, tool.name);
        }
        tool.recipe(&asked(3128, None)).unwrap();
    }
    assert!(find("carg").unwrap_err().contains("did you mean cargo?"));
    let unknown = find("photoshop").unwrap_err();
    assert!(unknown.contains("gradle, maven") && !unknown.contains("did you mean"), "{unknown}");
}

#[test]
fn files_are_where_each_system_has_them() {
    let roaming = r"C:\Users\a\AppData\Roaming";
    for (name, system, wanted) in [
        ("claude", "linux", "/home/a/.claude/settings.json".to_string()),
        ("vscode", "linux", "/home/a/.config/Code/User/settings.json".into()),
        ("vscode", "macos", "/home/a/Library/Application Support/Code/User/settings.json".into()),
        ("pip", "linux", "/home/a/.config/pip/pip.conf".into()),
        ("cargo", "linux", "/home/a/.cargo/config.toml".into()),
        ("maven", "macos", "/home/a/.m2/settings.xml".into()),
        ("apt", "linux", "/etc/apt/apt.conf.d/95hallpass".into()),
        ("zsh", "macos", "/home/a/.zshrc".into()),
        ("fish", "linux", "/home/a/.config/fish/config.fish".into()),
        ("vscode", "windows", format!("{roaming}/Code/User/settings.json")),
        ("pip", "windows", format!("{roaming}/pip/pip.ini")),
        ("powershell", "windows", r"C:\Users\a/Documents/WindowsPowerShell/profile.ps1".into()),
    ] {
        let path = recipe(&find(name).unwrap(), &Asked { system, ..asked(3128, None) }).path;
        let plain = |text: &str| text.replace(std::path::MAIN_SEPARATOR, "/");
        assert_eq!(plain(&path.to_string_lossy()), plain(&wanted), "{name} {system}");
    }
    let moved = |name: &str| match name {
        "CLAUDE_CONFIG_DIR" | "CARGO_HOME" | "DOCKER_CONFIG" | "GRADLE_USER_HOME" | "ZDOTDIR" => Some("/x".into()),
        "PIP_CONFIG_FILE" | "NPM_CONFIG_USERCONFIG" | "GIT_CONFIG_GLOBAL" => Some("/x/file".into()),
        name => home(name),
    };
    for tool in ["claude", "cargo", "docker", "gradle", "zsh", "pip", "npm", "git"] {
        let path = recipe(&find(tool).unwrap(), &Asked { variable: &moved, ..asked(3128, None) }).path;
        assert!(path.starts_with("/x"), "{tool} {}", path.display());
    }
}

#[test]
fn a_container_is_never_sent_to_its_own_loopback() {
    let docker = find("docker").unwrap();
    let mut asked = asked(3128, None);
    let text = recipe(&docker, &asked).alone().unwrap();
    assert!(text.contains("http://172.17.0.1:3128"), "{text}");
    asked.for_containers = None;
    let refusal = docker.recipe(&asked).unwrap_err().to_string();
    assert!(refusal.contains("[[listeners]]\ninterface = \"docker0\"\nport = 3128"), "{refusal}");
    asked.relay = SocketAddr::from(([10, 0, 0, 1], 3128));
    assert!(recipe(&docker, &asked).alone().unwrap().contains("http://10.0.0.1:3128"));
    asked.system = "macos";
    assert!(recipe(&docker, &asked).alone().unwrap().contains("http://host.docker.internal:3128"));
}
