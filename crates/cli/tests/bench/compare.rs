//! Two reports beside each other.

use std::fs;

use crate::process::{Server, report, run};

#[test]
fn a_report_compares_with_itself_and_with_a_worse_one() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let good = report("echo", &["-c", "2", "--rate", "20", &url]);
    let mut bad = good.check(0, &[]);
    bad["metrics"]["lost"] = 1.into();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("good.json"), &good.stdout).unwrap();
    fs::write(path("bad.json"), bad.to_string()).unwrap();
    let ran = run(&["--compare", &path("good.json"), &path("good.json")]);
    assert_eq!(ran.status, 0, "{ran:?}");
    ran.says("answered                 20           20\n");
    let ran = run(&["--compare", &path("good.json"), &path("bad.json")]);
    assert_eq!(ran.status, 1, "{ran:?}");
    ran.says("lost                      0            1             WORSE\n");
    let ran = run(&["--json", "--compare", &path("bad.json"), &path("good.json")]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let json = ran.json();
    let changes = json["changes"].as_array().unwrap();
    let lost = changes.iter().find(|change| change["name"] == "lost").unwrap();
    assert_eq!(lost["verdict"], "better");
}

#[test]
fn what_is_no_report_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.json").to_str().unwrap().to_owned();
    for (content, says) in [
        (None, "cannot read"),
        (Some("hello"), "is not JSON"),
        (Some("{}"), "is no report of everwire bench --json"),
        (Some("{\"schema\":\"other/2\"}"), "is a report of the form \"other/2\""),
    ] {
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let ran = run(&["--compare", &path, &path]);
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{ran:?}");
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
}
