//! The command line itself: help, completions, manual pages, and what cannot be understood.

use std::process::{Command, Output};

#[track_caller]
fn run(args: &[&str], expected_status: i32) -> [String; 2] {
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_everwire")).env_clear().args(args).output().unwrap();
    let texts = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(status.code(), Some(expected_status), "{args:?}: {texts:?}");
    texts
}

#[test]
fn help_and_version_are_answers() {
    assert!(run(&["--help"], 0)[0].contains("serve"));
    assert!(run(&["serve", "--help"], 0)[0].contains("--max-message"));
    assert!(run(&["bench", "--help"], 0)[0].contains("broadcast"));
    assert!(run(&["bench", "slow", "--help"], 0)[0].contains("--pause"));
    let version = format!("everwire {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["--version"], 0)[0], version);
}

#[test]
fn the_help_does_not_show_the_secret() {
    let Output { stdout, .. } = Command::new(env!("CARGO_BIN_EXE_everwire"))
        .env("EVERWIRE_ADMIN_TOKEN", "open sesame")
        .args(["serve", "--help"])
        .output()
        .unwrap();
    assert!(!String::from_utf8(stdout).unwrap().contains("open sesame"));
}

#[test]
fn shells_learn_our_options() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(run(&["completions", shell], 0)[0].contains("max-message"), "{shell}");
    }
    assert!(run(&["completions", "tcsh"], 2)[1].contains("possible values"));
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    assert!(run(&["man"], 0)[0].contains(".TH everwire 1"));
    let page = &run(&["man", "serve"], 0)[0];
    assert!(page.contains(".TH everwire-serve 1") && page.contains("EVERWIRE_MAX_MESSAGE"));
    assert!(run(&["man", "bench", "echo"], 0)[0].contains("EVERWIRE_BENCH_RATE"));
    assert_eq!(run(&["man", "x"], 2)[1], "everwire: there is no subcommand \"x\"\n");
}

#[test]
fn a_page_that_cannot_be_written_is_told() {
    for args in [&["man"][..], &["completions", "bash"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_everwire"));
        let output = command.env_clear().args(args).stdout(full).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(stderr.starts_with("everwire: cannot write to stdout: "), "{stderr}");
    }
}

#[test]
fn what_cannot_be_understood_takes_one_line() {
    for args in [&["sevre"][..], &["serve", "--frob"], &["serve", "--listen"], &["completions"]] {
        let [stdout, stderr] = run(args, 2);
        assert_eq!((stdout.as_str(), stderr.lines().count()), ("", 1), "{stderr}");
        assert!(stderr.starts_with("everwire: "), "{stderr}");
    }
}

#[test]
fn a_misspelt_log_level_is_told() {
    let [_, stderr] = run(&["serve", "--listen", "127.0.0.1:0", "--log", "inof"], 2);
    assert!(stderr.contains("inof") && stderr.contains("expected error, warn"), "{stderr}");
}
