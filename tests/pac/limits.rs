//! Scripts that loop, throw, recurse and eat memory; and what the next evaluation sees of it: nothing.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use hallpass::route::pac::{Limits, Pac, PacError};

use crate::support::{World, ask, body, compile, compile_with, hops};

const SHORT: Limits = Limits { time: Duration::from_millis(300), memory: 8 << 20 };

/// Where time is not what ends it.
const SMALL: Limits = Limits { time: Duration::from_secs(60), memory: 8 << 20 };

/// Does something bad for host `bad`, and answers for all others.
fn spoiled(bad: &str, limits: Limits) -> Pac {
    let script = format!(
        "var state = 0;
        function deep(n) {{ return deep(n + 1) + 1; }}
        function FindProxyForURL(url, host) {{
            if (host == 'bad') {{ state = 1; {bad} }}
            return state ? 'PROXY spoiled:1' : 'PROXY p:1';
        }}"
    );
    compile_with(&World::new(), &script, limits).unwrap()
}

#[test]
fn a_script_that_cannot_go_on_has_a_named_error_and_harms_no_later_evaluation() {
    for (bad, error) in [
        ("while (true) {}", PacError::TimedOut),
        ("for (;;) { try { while (true) {} } catch (e) {} finally { continue; } }", PacError::TimedOut),
        ("try { while (true) {} } catch (e) { return 'DIRECT' }", PacError::TimedOut),
        ("/(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!')", PacError::TimedOut),
        ("var a = []; while (true) a.push('x'.repeat(1000) + a.length)", PacError::OutOfMemory),
        ("var s = 'x'; while (true) s += s", PacError::OutOfMemory),
        ("new Uint8Array(1 << 28)", PacError::OutOfMemory),
        ("deep(0)", PacError::TooDeep),
    ] {
        let pac = spoiled(bad, if error == PacError::TimedOut { SHORT } else { SMALL });
        let found = ask(&pac, "bad");
        // A text may be too long before memory is out.
        let longest = matches!(&found, Err(PacError::Threw(text)) if text.contains("string too long"));
        assert!(found == Err(error) || longest, "{bad}: {found:?}");
        if !longest {
            assert_eq!(hops(&pac, "good"), "http://p:1", "{bad}");
        }
    }
}

#[test]
fn what_a_script_throws_is_told_with_its_line() {
    for (thrown, text) in [
        ("'no route'", "no route"),
        ("new Error('no route')", "Error: no route (line 2)"),
        ("new TypeError('odd')", "TypeError: odd (line 2)"),
        ("5", "5"),
        ("{ toString: function () { throw 1 } }", "object"),
    ] {
        assert_eq!(ask(&body(&World::new(), &format!("throw {thrown}")), "h"), Err(PacError::Threw(text.into())));
    }
    let found = ask(&body(&World::new(), "return isPlainHostName()"), "h");
    let text = "TypeError: isPlainHostName: the host is undefined, not a string (line 2)";
    assert_eq!(found, Err(PacError::Threw(text.into())));
}

#[test]
fn functions_of_the_language_that_run_long_without_a_loop_are_cut_off_as_well() {
    for call in [
        "new Array(4294967295).indexOf(1)",
        "[].lastIndexOf.call({ length: 9007199254740991 }, 1)",
        "[].includes.call({ length: 9007199254740991 }, 1)",
        "[].reverse.call({ length: 9007199254740991 })",
        "[].fill.call({ length: 9007199254740991 }, 1)",
        "new Array(4294967295).join('')",
        "[].copyWithin.call({ length: 9007199254740991 }, 0, 1)",
        "[].unshift.call({ length: 9007199254740990 }, 1)",
        "[].splice.call({ length: 9007199254740991 }, 0, 1)",
        "[].shift.call({ length: 9007199254740991 })",
        "[].every.call({ length: 9007199254740991 }, isNaN)",
        "[].sort.call({ length: 9007199254740991 })",
        "[].slice.call({ length: 4294967295 })",
        "[].concat(new Array(4294967295))",
        "[].flat.call({ length: 9007199254740991 })",
        "[new Array(4294967295)].flat()",
        "new Array(4294967295).keys().drop(4294967290)",
        "String(new Array(4294967295))",
        "JSON.stringify(new Array(4294967295))",
        "Array.from(new Array(4294967295))",
        "[...new Array(4294967295)]",
        "isNaN.apply(null, new Array(4294967295))",
    ] {
        let begun = Instant::now();
        let found = ask(&spoiled(call, SHORT), "bad");
        assert!(begun.elapsed() < Duration::from_secs(20), "{call} took {:?}", begun.elapsed());
        assert!(found.is_err(), "{call}: {found:?}");
    }
}

#[test]
fn a_script_that_loops_while_it_is_loaded_is_refused() {
    let world = World::new();
    assert_eq!(compile_with(&world, "while (true) {}", SHORT).err(), Some(PacError::TimedOut));
    assert_eq!(compile_with(&world, "var a = []; for (;;) a.push([a])", SMALL).err(), Some(PacError::OutOfMemory));
    let nested = "[".repeat(1 << 20);
    let found = compile_with(&world, &format!("var a = {nested};"), Limits { memory: 64 << 20, ..SMALL }).err();
    assert!(matches!(found, Some(PacError::TooDeep | PacError::OutOfMemory | PacError::Syntax(_))), "{found:?}");
}

#[test]
fn a_failure_is_remembered_for_a_few_seconds() {
    let world = World::new();
    let pac = body(&world, "alert(host); throw 'no'");
    for _ in 0..100 {
        assert_eq!(ask(&pac, "h"), Err(PacError::Threw("no".into())));
    }
    assert_eq!(world.alerts(), ["h"]);
    assert_eq!(pac.remembered("https://h/"), None);
    world.pass(Duration::from_secs(6));
    ask(&pac, "h").unwrap_err();
    assert_eq!(world.alerts(), ["h"]);
}

#[test]
fn twenty_loops_do_not_keep_another_evaluation_waiting() {
    let world = World::new();
    let time = Duration::from_secs(15);
    let limits = Limits { time, memory: 8 << 20 };
    let script = "function FindProxyForURL(url, host) { while (host != 'good') {} return 'PROXY p:1' }";
    let pac = Arc::new(compile_with(&world, script, limits).unwrap());
    let together = Arc::new(Barrier::new(21));
    let loops: Vec<_> = (0..20)
        .map(|number| {
            let (pac, together) = (Arc::clone(&pac), Arc::clone(&together));
            thread::spawn(move || {
                together.wait();
                ask(&pac, &format!("bad{number}"))
            })
        })
        .collect();
    together.wait();
    let begun = Instant::now();
    assert_eq!(hops(&pac, "good"), "http://p:1");
    assert!(begun.elapsed() < time / 2, "it took {:?}", begun.elapsed());
    // On the clock of this world their time is over now.
    world.pass(time);
    for looping in loops {
        assert_eq!(looping.join().unwrap(), Err(PacError::TimedOut));
    }
    assert!(pac.evaluate("http://good/", "good").is_ok());
}

#[test]
fn when_every_engine_is_taken_the_next_one_is_told_so() {
    let world = World::new();
    let limits = Limits { time: Duration::from_secs(3), memory: 8 << 20 };
    let script = "function FindProxyForURL(url, host) { alert(host); while (true) {} }";
    let pac = Arc::new(compile_with(&world, script, limits).unwrap());
    let loops: Vec<_> = (0..40)
        .map(|number| {
            let pac = Arc::clone(&pac);
            thread::spawn(move || ask(&pac, &format!("bad{number}")))
        })
        .collect();
    let ends: Vec<_> = loops.into_iter().map(|looping| looping.join().unwrap().unwrap_err()).collect();
    assert!(ends.iter().all(|end| matches!(end, PacError::TimedOut | PacError::Busy)), "{ends:?}");
    assert!(world.alerts().len() >= 32);
}

#[test]
fn the_resolver_has_one_second_for_all_questions_together() {
    let world = World::new();
    world.slow(Duration::from_millis(300));
    for number in 0..10 {
        world.name(&format!("n{number}"), "10.0.0.1");
    }
    let pac = body(
        &world,
        "var found = 0;
        for (var n = 0; n < 10; n++) if (dnsResolve('n' + n) !== null) found++;
        return 'PROXY found:' + found + ((isResolvable('n9') || isInNet('n9', '10.0.0.0', '255.0.0.0')) ? '1' : '0')",
    );
    assert_eq!(hops(&pac, "h"), "http://found:30");
    assert_eq!(world.asked(), ["n0", "n1", "n2", "n3"]);
    // The next evaluation has its own second, and knows what was found; n3 took too long to be asked again at once.
    assert_eq!(hops(&pac, "other"), "http://found:60");
    assert_eq!(world.asked(), ["n4", "n5", "n6", "n7"]);
}

#[test]
fn a_script_that_talks_without_end_is_cut_short() {
    let world = World::new();
    let pac = body(&world, "for (var n = 0; n < 1000; n++) alert(new Array(10000).join('x')); return 'PROXY p:1'");
    assert_eq!(hops(&pac, "h"), "http://p:1");
    let alerts = world.alerts();
    assert_eq!(alerts.len(), 20);
    assert!(alerts.iter().all(|text| text.chars().count() <= 501));
    hops(&pac, "i");
    assert_eq!(world.alerts().len(), 20);
}

#[test]
fn a_resolver_that_hangs_costs_a_second() {
    let world = World::new();
    world.slow(Duration::from_secs(3600));
    let pac = body(&world, "return isInNet(dnsResolve(host), '10.0.0.0', '255.0.0.0') ? 'DIRECT' : 'PROXY p:1'");
    let begun = hallpass::route::pac::Host::elapsed(&*world);
    assert_eq!(hops(&pac, "h"), "http://p:1");
    let took = hallpass::route::pac::Host::elapsed(&*world) - begun;
    assert!(took < Duration::from_millis(1900), "{took:?}");
    assert_eq!(world.asked(), ["h"]);
}

#[test]
fn an_engine_costs_less_than_a_megabyte() {
    let pac = compile(&World::new(), include_str!("../data/pac/01-subnets.pac")).unwrap();
    hops(&pac, "www.example.com");
    let memory = pac.engine_memory().unwrap();
    assert!(memory < 1 << 20, "{memory}");
}
