//! What is in `dist/`: the units of systemd and the recipe of a container.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

fn dist(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn everwire(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_everwire"));
    command.env_clear().stdin(Stdio::null()).args(args);
    command
}

#[test]
fn systemd_takes_the_units() {
    let dir = tempfile::tempdir().unwrap();
    // It looks whether the program is there.
    let service = dist("everwire.service");
    let installed = "ExecStart=/usr/local/bin/everwire ";
    assert!(service.contains(installed));
    let ours = format!("ExecStart={} ", env!("CARGO_BIN_EXE_everwire"));
    let unit = |name: &str, text: String| -> PathBuf {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let service = unit("everwire.service", service.replace(installed, &ours));
    let socket = unit("everwire.socket", dist("everwire.socket"));
    let mut verify = Command::new("systemd-analyze");
    let Ok(output) = verify.args(["verify", "--man=no"]).args([&service, &socket]).output() else {
        return eprintln!("skipped: there is no systemd-analyze");
    };
    // What it only warns of is wrong as well.
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("everwire")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn the_unit_starts_what_takes_its_notices() {
    let service = dist("everwire.service");
    let value = |name: &str| {
        let line = service.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name}"))
    };
    // What the tests of notices look at.
    assert_eq!((value("Type"), value("WatchdogSec")), ("notify", "30s"));
    let args: Vec<&str> = value("ExecStart").split(' ').skip(1).collect();
    assert!(everwire(&args).arg("--help").output().unwrap().status.success());
}

/// The settings of the image, in order.
fn recipe(instruction: &str) -> Vec<String> {
    let text = dist("Dockerfile").replace("\\\n", " ");
    let (_, last_stage) = text.rsplit_once("\nFROM ").unwrap();
    let lines = last_stage.lines().filter_map(|line| line.strip_prefix(instruction));
    lines.map(|line| line.trim().to_owned()).collect()
}

fn words(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// A server that is killed.
struct Running(Child, String);

impl Running {
    /// Starts what the image starts, on a free port.
    fn new() -> Self {
        let args = [words(&recipe("ENTRYPOINT")[0]), words(&recipe("CMD")[0])].concat();
        assert_eq!(args[0], "everwire");
        let mut command = everwire(&[]);
        command.args(&args[1..]).args(["--admin", "off"]).stdout(Stdio::piped());
        for setting in recipe("ENV") {
            let (name, value) = setting.split_once('=').unwrap();
            command.env(name, value.replace(":8080", ":0"));
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (_, rest) = line.split_once("localhost:").unwrap_or_else(|| panic!("{line:?}"));
        let port = rest.split('/').next().unwrap().to_owned();
        Self(child, port)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn the_image_starts_and_its_health_is_seen() {
    let server = Running::new();
    let check = recipe("HEALTHCHECK");
    let (_, check) = check[0].split_once("CMD").unwrap();
    let check = words(check);
    assert_eq!(check[0], "everwire");
    let is_healthy = |port: &str| {
        let args = check[1..].iter().map(|arg| arg.replace(":8080", &format!(":{port}")));
        everwire(&[]).args(args).stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(is_healthy(&server.1));
    let port = server.1.clone();
    drop(server);
    assert!(!is_healthy(&port));
}

#[test]
fn the_image_has_no_root_and_ends_in_time() {
    let user = recipe("USER");
    assert!(user.len() == 1 && !user[0].starts_with("root") && !user[0].starts_with("0"));
    assert_eq!(recipe("STOPSIGNAL"), ["SIGTERM"]);
    let drain = recipe("ENV").into_iter().find(|env| env.starts_with("EVERWIRE_DRAIN_DEADLINE="));
    assert_eq!(drain.as_deref(), Some("EVERWIRE_DRAIN_DEADLINE=8s"), "less than the usual 10 s");
}
