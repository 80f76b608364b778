//! What is remembered, for how long, and that many threads get the answers of one.

use std::collections::HashMap;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use hallpass::route::Hop;

use crate::support::{World, ask, body, compile, hops};

#[test]
fn a_decision_by_name_alone_is_kept() {
    let world = World::new();
    let pac = body(&world, "alert(host); return 'PROXY p:1'");
    assert_eq!(pac.remembered("https://a/"), None);
    hops(&pac, "a");
    world.pass(Duration::from_secs(86_400));
    hops(&pac, "a");
    assert_eq!(pac.remembered("https://a/").unwrap().hops.len(), 1);
    assert_eq!(world.alerts(), ["a"]);
    hops(&pac, "b");
    assert_eq!(world.alerts(), ["b"]);
}

#[test]
fn an_evaluation_that_asks_the_time_or_chance_is_not_kept() {
    for asking in [
        "new Date().getHours()",
        "Date()",
        "Date.now()",
        "Math.random()",
        "weekdayRange('MON', 'FRI')",
        "dateRange(1, 15)",
        "timeRange(8, 18)",
        "(function () { var D = Date; return +new D })()",
        "new (Object.getPrototypeOf(new Date(0)).constructor)()",
        "Reflect.construct(Date, [])",
        "new (class extends Date {})()",
    ] {
        let world = World::new();
        let pac = body(&world, &format!("alert(host); if (host == 'now') {{ {asking} }} return 'PROXY p:1'"));
        for _ in 0..3 {
            hops(&pac, "now");
            hops(&pac, "then");
        }
        // The same script, for a host that does not make it ask, is remembered.
        assert_eq!(world.alerts(), ["now", "then", "now", "now"], "{asking}");
        assert_eq!(pac.remembered("https://now/"), None, "{asking}");
    }
}

#[test]
fn a_date_that_is_given_is_not_asked_for() {
    let world = World::new();
    let pac = body(&world, "alert(host); new Date(2026, 1, 1); Date.UTC(2026, 1); new Date(0); return 'PROXY p:1'");
    hops(&pac, "a");
    hops(&pac, "a");
    assert_eq!(world.alerts(), ["a"]);
}

#[test]
fn what_hangs_on_addresses_is_kept_for_a_minute() {
    for asking in [
        "dnsResolve('name')",
        "dnsResolve('nowhere')",
        "isResolvable('name')",
        "isInNet('name', '10.0.0.0', '255.0.0.0')",
        "myIpAddress()",
        "dnsResolveEx('name')",
        "isResolvableEx('name')",
        "myIpAddressEx()",
    ] {
        let world = World::new();
        world.name("name", "10.0.0.1");
        let pac = body(&world, &format!("alert(host); {asking}; return 'PROXY p:1'"));
        hops(&pac, "a");
        world.pass(Duration::from_secs(58));
        hops(&pac, "a");
        assert_eq!(world.alerts(), ["a"], "{asking}");
        world.pass(Duration::from_secs(3));
        hops(&pac, "a");
        assert_eq!(world.alerts(), ["a"], "{asking}");
    }
}

#[test]
fn a_decision_is_no_older_than_the_answer_it_hangs_on() {
    let world = World::new();
    world.name("name", "10.0.0.1");
    let pac = body(&world, "return 'PROXY ' + dnsResolve('name')");
    assert_eq!(hops(&pac, "a"), "http://10.0.0.1:80");
    world.name("name", "10.0.0.2");
    world.pass(Duration::from_secs(40));
    assert_eq!(hops(&pac, "b"), "http://10.0.0.1:80");
    world.pass(Duration::from_secs(21));
    assert_eq!(hops(&pac, "b"), "http://10.0.0.2:80");
    assert_eq!(world.asked(), ["name", "name"]);
}

#[test]
fn names_that_do_not_exist_are_asked_for_once_a_minute() {
    let world = World::new();
    let pac = body(&world, "return isResolvable('nowhere') ? 'DIRECT' : 'PROXY p:1'");
    for number in 0..10 {
        hops(&pac, &format!("h{number}"));
    }
    assert_eq!(world.asked(), ["nowhere"]);
    world.pass(Duration::from_secs(61));
    hops(&pac, "h0");
    assert_eq!(world.asked(), ["nowhere"]);
}

#[test]
fn addresses_in_a_script_are_never_resolved() {
    let world = World::new();
    let pac = body(&world, "dnsResolve('10.0.0.1'); isInNet('::1', '1.1.1.1', '1.1.1.1'); return 'PROXY p:1'");
    hops(&pac, "h");
    assert_eq!(world.asked(), Vec::<String>::new());
    assert!(pac.remembered("https://h/").is_some());
}

#[test]
fn a_changed_network_makes_everything_new() {
    let world = World::new();
    world.name("name", "10.0.0.1");
    let script = "var mine = myIpAddress(); var seen = {};
        function FindProxyForURL(url, host) {
            if (!seen.name) seen.name = dnsResolve('name');
            return host == 'mine' ? 'PROXY ' + mine : 'PROXY ' + seen.name;
        }";
    let pac = compile(&world, script).unwrap();
    assert_eq!([hops(&pac, "mine"), hops(&pac, "name")], ["http://10.1.2.3:80", "http://10.0.0.1:80"]);
    world.mine("192.168.7.7");
    world.name("name", "10.0.0.2");
    assert_eq!([hops(&pac, "mine"), hops(&pac, "name")], ["http://10.1.2.3:80", "http://10.0.0.1:80"]);
    pac.forget();
    assert_eq!(pac.remembered("https://mine/"), None);
    assert_eq!([hops(&pac, "mine"), hops(&pac, "name")], ["http://192.168.7.7:80", "http://10.0.0.2:80"]);
}

#[test]
fn a_script_that_asks_while_it_is_loaded_is_loaded_again_after_a_minute() {
    let world = World::new();
    let pac = compile(
        &world,
        "alert('load'); var mine = myIpAddress(); function FindProxyForURL() { return 'PROXY ' + mine }",
    );
    let pac = pac.unwrap();
    assert_eq!(hops(&pac, "a"), "http://10.1.2.3:80");
    world.mine("192.168.7.7");
    world.pass(Duration::from_secs(61));
    assert_eq!(hops(&pac, "a"), "http://192.168.7.7:80");
    assert_eq!(world.alerts(), ["load", "load"]);
}

#[test]
fn globals_live_as_long_as_their_engine() {
    let pac = body(&World::new(), "this.count = (this.count || 0) + 1; return 'PROXY n:' + this.count");
    let seen: Vec<String> = ["a", "b", "c", "a"].iter().map(|host| hops(&pac, host)).collect();
    assert_eq!(seen, ["http://n:1", "http://n:2", "http://n:3", "http://n:1"]);
}

#[test]
fn chance_while_loading_is_the_same_in_all_engines() {
    let world = World::new();
    let script = "var pick = Math.floor(Math.random() * 60000) + 1;
        function FindProxyForURL(url, host) { return 'PROXY p:' + pick }";
    let pac = compile(&world, script).unwrap();
    let first = hops(&pac, "a");
    let together = Barrier::new(8);
    thread::scope(|scope| {
        for number in 0..8 {
            let (pac, together, first) = (&pac, &together, &first);
            scope.spawn(move || {
                together.wait();
                for round in 0..50 {
                    assert_eq!(&hops(pac, &format!("h{number}-{round}")), first);
                }
            });
        }
    });
}

#[test]
fn one_url_is_evaluated_once_at_a_time() {
    let world = World::new();
    world.name("h", "10.0.0.1");
    // Not kept for asking the time, so that only being under way can be what is shared.
    let pac = Arc::new(body(&world, "alert(host); Date.now(); for (var i = 0; i < 3e6; i++); return 'PROXY p:1'"));
    let together = Arc::new(Barrier::new(16));
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let (pac, together) = (Arc::clone(&pac), Arc::clone(&together));
            thread::spawn(move || {
                together.wait();
                hops(&pac, "h")
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), "http://p:1");
    }
    let evaluations = world.alerts().len();
    assert!(evaluations < 8, "{evaluations} evaluations for 16 at once");
}

#[test]
fn the_cache_is_bounded_and_keeps_what_is_used() {
    let world = World::new();
    let pac = body(&world, "if (host == 'often') alert(host); return 'PROXY p:1'");
    for number in 0..30_000 {
        pac.evaluate(&format!("http://h/{number}"), "h").unwrap();
        hops(&pac, "often");
    }
    assert_eq!(world.alerts(), ["often"]);
    let kept = (0..30_000).filter(|number| pac.remembered(&format!("http://h/{number}")).is_some()).count();
    assert!((1_000..=8_192).contains(&kept), "{kept}");
}

#[test]
fn eight_threads_get_the_answers_of_one() {
    let world = World::new();
    let script = "var proxies = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
        function hash(text) {
            var sum = 0;
            for (var i = 0; i < text.length; i++) sum = (sum * 31 + text.charCodeAt(i)) % 65521;
            return sum;
        }
        function FindProxyForURL(url, host) {
            if (shExpMatch(host, '*7.example')) return 'DIRECT';
            if (/^host-(\\d)5/.test(host)) return 'SOCKS5 s' + RegExp.$1 + ':1';
            if (isInNet(dnsResolve(host), '10.0.0.0', '255.0.0.0')) return 'PROXY inner:1';
            return 'PROXY ' + proxies[hash(host) % proxies.length] + ':8080; DIRECT';
        }";
    let script = &script.replace("RegExp.$1", "/^host-(\\d)5/.exec(host)[1]");
    let host = |number: usize| format!("host-{number}.example");
    for number in (0..10_000).step_by(3) {
        world.name(&host(number), if number % 2 == 0 { "10.0.0.1" } else { "192.0.2.1" });
    }
    let alone = compile(&world, script).unwrap();
    let wanted: HashMap<String, Vec<Hop>> =
        (0..10_000).map(|number| (host(number), ask(&alone, &host(number)).unwrap().hops.clone())).collect();
    let kinds: std::collections::HashSet<_> = wanted.values().collect();
    assert!(kinds.len() > 10, "{}", kinds.len());

    let shared = compile(&world, script).unwrap();
    thread::scope(|scope| {
        for thread in 0..8 {
            let (shared, wanted) = (&shared, &wanted);
            scope.spawn(move || {
                for number in 0..10_000 {
                    let host = host((number * 7 + thread * 1_250) % 10_000);
                    assert_eq!(ask(shared, &host).unwrap().hops, wanted[&host], "{host}");
                }
            });
        }
    });
}
