use clap::Parser;

use super::*;
use crate::bench::{args::Args, load::Snapshot, server::Reading, tally::Messages};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn plan(args: &[&str]) -> Plan {
    let cli = Cli::try_parse_from(["bench"].iter().chain(args)).unwrap();
    Plan::new(&cli.args.scenario.unwrap()).unwrap()
}

fn times(micros: u64) -> Times {
    let mut times = Times::default();
    times.record(Duration::from_micros(micros));
    times
}

/// Reports on a run whose one latency was 10 ms, with a generator that was so late.
fn report(late_micros: u64, allow_late: bool) -> Report {
    let plan = plan(&["echo", "--rate", "5", "ws://127.0.0.1:1/"]);
    let messages = Messages { sent: 1, answered: 1, in_time: 1, ..Messages::default() };
    let (latency, lag) = (times(10_000), times(late_micros));
    let tally = Tally { opened: 64, messages, latency, lag, ..Tally::default() };
    let ran = Duration::from_secs(2);
    let outcome = Outcome { tally, ran, server: None, was_interrupted: false };
    Report::new(&plan, outcome, allow_late)
}

fn judged(report: &mut Report, expectation: &str) -> (bool, String) {
    let held = report.judge(&[&expectation.parse().unwrap()]);
    (held, report.expectations[0].came.clone())
}

#[test]
fn latencies_are_reported_by_a_generator_that_was_in_time() {
    let mut report = report(900, false);
    assert_eq!((report.late, &report.spoiled), (false, &None));
    assert_eq!(report.latency_ns.len(), 1);
    assert_eq!(judged(&mut report, "p99.9<=10.1ms"), (true, "10.0 ms".to_owned()));
    assert_eq!(judged(&mut report, "p95<9ms"), (false, "10.0 ms".to_owned()));
}

#[test]
fn a_generator_that_was_late_reports_no_latencies_and_says_why() {
    let report = report(2_000, false);
    let why = report.spoiled.as_ref().unwrap();
    assert!(why.starts_with("this generator was itself 2.00 ms late"), "{why}");
    for name in ["min", "mean", "p50", "p99", "p99.9", "max", "p12.5"] {
        assert_eq!(report.value(name), None, "{name}");
    }
    assert!(report.latency_ns.is_empty());
    assert_eq!(report.value("rate"), Some(0.5));
    assert_eq!(report.value("late.p99").map(|late| (late * 1e3).round()), Some(2.0));
}

#[test]
fn a_generator_that_was_late_can_still_prove_that_latencies_are_below_a_bound() {
    let mut report = report(2_000, false);
    let (held, came) = judged(&mut report, "p99<20ms");
    assert!(held && came.starts_with("at most 10.0 ms"), "{came}");
    for expectation in ["p99<9ms", "p99>1ms", "max!=3ms", "min>=1ms"] {
        let (held, came) = judged(&mut report, expectation);
        assert_eq!((held, came.as_str()), (false, "not reported, the generator was too late"));
    }
    assert_eq!(judged(&mut report, "cpu<1s"), (false, "not measured".to_owned()));
}

#[test]
fn late_latencies_are_reported_to_those_who_ask_for_them() {
    let report = report(2_000, true);
    assert_eq!((report.late, &report.spoiled), (true, &None));
    assert!(report.value("p50").is_some());
    assert!(report.notes[0].contains("not the server's alone"), "{:?}", report.notes);
}

#[test]
fn of_a_pace_that_the_server_sets_it_is_said_what_it_hides() {
    let plan = plan(&["echo", "ws://127.0.0.1:1/"]);
    let tally = Tally { opened: 1, latency: times(10_000), ..Tally::default() };
    let ran = Duration::from_secs(1);
    let outcome = Outcome { tally, ran, server: None, was_interrupted: false };
    let report = Report::new(&plan, outcome, false);
    assert!(report.notes[0].contains("--rate"), "{:?}", report.notes);
}

/// Reports on a run of so much, with what its server cost.
fn of(args: &[&str], tally: Tally, server: Option<ServerCost>) -> Report {
    let ran = Duration::from_secs(1);
    Report::new(&plan(args), Outcome { tally, ran, server, was_interrupted: false }, false)
}

fn snapshot(n_open: u64, cpu_millis: u64) -> Snapshot {
    Snapshot { n_open, reading: Reading { cpu: Duration::from_millis(cpu_millis), memory: 4096 } }
}

#[test]
fn a_server_that_is_gone_at_the_end_cost_nothing_that_is_known() {
    let answered = Messages { sent: 9, answered: 9, in_time: 9, ..Messages::default() };
    let tally = Tally { opened: 2, messages: answered, ..Tally::default() };
    let cost = |end| ServerCost {
        before: snapshot(0, 0),
        first: Some(snapshot(1, 1)),
        opened: Some(snapshot(2, 2)),
        end,
    };
    let args = ["echo", "--rate", "5", "ws://127.0.0.1:1/"];
    let mut lived = of(&args, tally.clone(), Some(cost(Ok(snapshot(2, 11)))));
    assert_eq!(judged(&mut lived, "cpu<=1ms"), (true, "1.00 ms".to_owned()));
    let mut died = of(&args, tally, Some(cost(Err("process 7 has ended".to_owned()))));
    for expectation in ["cpu<1us", "cores<1", "growth<1KiB"] {
        assert_eq!(judged(&mut died, expectation), (false, "not measured".to_owned()));
    }
    assert_eq!(judged(&mut died, "memory<1MiB"), (true, "0 B".to_owned()));
    assert!(died.notes[0].ends_with("process 7 has ended"), "{:?}", died.notes);
}

#[test]
fn where_nothing_was_opened_or_sent_nothing_was_lost_is_not_held() {
    for (scenario, expectations) in [
        ("echo", &["lost==0", "closed==0", "corrupt==0", "foreign==0", "unsent==0", "sent<1"][..]),
        ("broadcast", &["lost==0", "duplicated==0", "reordered==0"]),
        ("slow", &["slow.closed==0", "slow.undecided==0"]),
        ("connect", &["closed==0", "connects<1"]),
        ("storm", &["back<1", "foreign==0"]),
    ] {
        let tally = Tally { failed: 3, ..Tally::default() };
        let mut report = of(&[scenario, "ws://127.0.0.1:1/"], tally, None);
        for expectation in expectations {
            let came = judged(&mut report, expectation);
            assert_eq!(came, (false, "not measured".to_owned()), "{scenario} {expectation}");
        }
        assert_eq!(judged(&mut report, "failed==3"), (true, "3".to_owned()));
        assert_eq!(judged(&mut report, "opened==0"), (true, "0".to_owned()));
    }
    let tally = Tally { opened: 3, ..Tally::default() };
    let mut report = of(&["echo", "ws://127.0.0.1:1/"], tally, None);
    assert_eq!(judged(&mut report, "lost==0"), (false, "not measured".to_owned()));
    assert_eq!(judged(&mut report, "sent==0"), (true, "0".to_owned()));
}

#[test]
fn a_process_that_is_named_twice_is_read_once() {
    let plan = plan(&["idle", "--pid", "7,9", "--pid", "7", "ws://127.0.0.1:1/"]);
    assert_eq!(plan.pids, [7, 9]);
}

#[test]
fn everything_that_changes_what_is_measured_is_among_what_was_asked() {
    let asked = |args: &[&str]| {
        let args = [args, &["ws://127.0.0.1:1/"]].concat();
        serde_json::to_value(of(&args, Tally::default(), None).asked).unwrap()
    };
    for (scenario, option, field, value) in [
        ("echo", "--deflate=shared", "deflate", "\"shared\""),
        ("echo", "--deflate=dedicated", "deflate", "\"dedicated\""),
        ("slow", "--slow=7", "slow", "7"),
        ("slow", "--pause=500ms", "pause_s", "0.5"),
        ("storm", "--spread=3s", "spread_s", "3.0"),
        ("storm", "--retry=2s", "retry_s", "2.0"),
        ("connect", "--rate=5", "rate", "5.0"),
    ] {
        let (without, with) = (asked(&[scenario]), asked(&[scenario, option]));
        assert_eq!(with[field].to_string(), value, "{option}");
        assert_ne!(without[field], with[field], "{option}");
    }
    assert_eq!(asked(&["idle"])["deflate"], "off");
}

#[test]
fn why_messages_were_not_sent_is_said_by_who_sets_the_pace() {
    let messages = Messages { sent: 1, unsent: 1, ..Messages::default() };
    let tally = Tally { opened: 1, messages, ..Tally::default() };
    let notes = |pace: &str| of(&["echo", pace, "ws://127.0.0.1:1/"], tally.clone(), None).notes;
    let (open, closed) = (notes("--rate=5"), notes("--depth=2"));
    assert!(open[0].starts_with("messages were due"), "{open:?}");
    assert!(!closed[0].contains("due") && closed[0].contains("--depth"), "{closed:?}");
}

#[test]
fn times_of_opening_are_refused_where_the_generator_was_late_while_it_opened() {
    let idle = |late_micros| {
        let (connecting, opening_lag) = (times(10_000), times(late_micros));
        let tally = Tally { opened: 3, connecting, opening_lag, ..Tally::default() };
        of(&["idle", "ws://127.0.0.1:1/"], tally, None)
    };
    assert!(idle(900).value("connect.p99").is_some());
    let mut late = idle(2_000);
    assert!(late.spoiled_connect.as_ref().unwrap().contains("2.00 ms late"));
    assert!(CONNECT.iter().all(|name| late.value(name).is_none()));
    let (held, came) = judged(&mut late, "connect.p99<20ms");
    assert!(held && came.starts_with("at most 10.0 ms"), "{came}");
    let came = judged(&mut late, "connect.max<9ms");
    assert_eq!(came, (false, "not reported, the generator was too late".to_owned()));
    assert!(crate::bench::text::render(&late).contains("times not reported"));
}
