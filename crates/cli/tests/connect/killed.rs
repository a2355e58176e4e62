//! `--session-store`: a client that is killed in the middle of lines, and started again.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    common,
    place::{Program, lines, next},
    run::{command, finish},
};

/// How often it is killed, and how many lines come between.
const KILLS: u64 = 5;
const LINES: u64 = 150;

/// How many lines may be on their way.
const AHEAD: u64 = 400;

/// The real server, which dies with its owner.
struct Server(Child, String);

impl Server {
    fn start() -> Self {
        let args = ["serve", "--listen", "127.0.0.1:0", "--admin", "off", "--threads", "1"];
        let mut child = common::program(&args).stdin(Stdio::null()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = said.next().expect("it says where it listens").unwrap();
        let (_, rest) = said.split_once("://").unwrap();
        let addr = rest.split('/').next().unwrap();
        Self(child, format!("ws://{addr}/chat"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Somebody in the chat, on an ordinary connection: it has heard the lines from 1 on, in order and each
/// once, up to this one.
struct Witness {
    program: Program,
    heard: Arc<AtomicU64>,
}

impl Witness {
    fn join(url: &str) -> Self {
        let mut program = Program::start(&[url]);
        program.say("0\n");
        program.hears("0");
        Self { program, heard: Arc::default() }
    }

    #[track_caller]
    fn hears_up_to(&self, last: u64) {
        while self.heard.load(Ordering::Relaxed) < last {
            let line = next(&self.program.stdout);
            let number = self.heard.load(Ordering::Relaxed) + 1;
            assert_eq!(line, Some(number.to_string()), "lost, doubled or reordered");
            self.heard.store(number, Ordering::Relaxed);
        }
    }
}

/// Says the numbers from `first` on, one a line, until nobody reads them or `last` is said.
fn say(
    mut to: impl Write + Send + 'static,
    [first, last]: [u64; 2],
    heard: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
) -> JoinHandle<()> {
    thread::spawn(move || {
        for number in first..=last {
            // So that nobody is too slow for the chat.
            while number > heard.load(Ordering::Relaxed) + AHEAD {
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                thread::sleep(Duration::from_millis(1));
            }
            if writeln!(to, "{number}").is_err() {
                return;
            }
        }
    })
}

/// Reads the numbers that come, without half a line at the end.
fn numbers(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u64>> {
    thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| line.trim().parse().unwrap()).collect()
    })
}

/// What it has shown up to now, and shows in another run: in order, without a gap, from where it stopped
/// or before.
#[track_caller]
fn check_shown(shown: &mut u64, numbers: &[u64]) {
    let Some((&first, &last)) = numbers.first().zip(numbers.last()) else { return };
    assert!(first <= *shown + 1, "{} to {} were never shown", *shown + 1, first - 1);
    assert_eq!(numbers, Vec::from_iter(first..=last));
    *shown = last.max(*shown);
}

/// Each line is a message with the next number, so the lines that are stored are counted: that many were
/// taken, and the line behind them is where to go on.
#[test]
fn killed_in_the_middle_of_lines_it_loses_and_doubles_none_that_it_stored() {
    let server = Server::start();
    let witness = Witness::join(&server.1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.json");
    let args = ["--session-store", file.to_str().unwrap(), &server.1];
    let (mut next_line, mut shown) = (1, 0);
    for kill in 0..=KILLS {
        let mut child = command(&args).spawn().unwrap();
        let shows = numbers(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        let until = |says: &str| loop {
            let line = next(&stderr).unwrap_or_else(|| panic!("it does not say {says:?}"));
            if line.starts_with(says) {
                break line;
            }
        };
        if kill > 0 {
            let line = until("= stored session: ");
            let stored: u64 = line.split(' ').nth(3).unwrap().parse().unwrap();
            // What somebody has heard was stored before it was sent.
            assert!(stored >= witness.heard.load(Ordering::Relaxed), "{line}");
            next_line = stored + 1;
        }
        let (stdin, is_over) = (child.stdin.take().unwrap(), Arc::<AtomicBool>::default());
        let last = if kill < KILLS { u64::MAX } else { next_line + LINES };
        let says = say(stdin, [next_line, last], witness.heard.clone(), is_over.clone());
        if kill < KILLS {
            witness.hears_up_to(next_line + LINES);
            child.kill().unwrap(); // SIGKILL
            child.wait().unwrap();
            is_over.store(true, Ordering::Relaxed);
        } else {
            witness.hears_up_to(last);
            assert_eq!(finish(child).status, 0);
        }
        says.join().unwrap();
        check_shown(&mut shown, &shows.join().unwrap());
    }
    assert_eq!(shown, witness.heard.load(Ordering::Relaxed));
    assert!(!file.exists());
    // And nothing came behind it.
    let mut program = witness.program;
    program.say("the end\n");
    program.hears("the end");
}
