//! Writing to stdout and stderr, off the thread that drives the connection.

use std::{
    io::{self, BufWriter, IsTerminal, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Duration,
};

use everwire::Message;
use tokio::sync::{Notify, Semaphore};

use super::escape::{escape, hex_dump};
use crate::stdout::Stdout;

/// Bytes of messages that may wait for a slow stdout; one message may exceed it.
const QUEUE: u32 = 1 << 20;

/// What changes nothing on a screen: it goes up a line and down again.
const NOTHING: &str = "\x1b[A\n";

/// How long an editor has to print what it was given, when we must end.
const EDITOR_PATIENCE: Duration = Duration::from_secs(5);

/// Prints a text above the line that is being edited.
pub(super) type Printer = Box<dyn FnMut(String) -> bool + Send>;

/// What is called when everything before it was written.
type Then = Box<dyn FnOnce() + Send>;

/// A thread that writes, and the way to it. While stdout is slow, messages wait here and then in
/// the connection; the connection itself goes on.
pub(super) struct Output {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    state: Arc<State>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    is_broken: AtomicBool,
    /// It broke by a fault, not because nobody reads it.
    is_lost: AtomicBool,
    broke: Notify,
}

enum Job {
    Message(Message<'static>, u32),
    Notice(String),
    Printer(Printer),
    Then(Then),
    Stop,
}

/// A way to stderr.
#[derive(Clone)]
pub(super) struct Notices(mpsc::Sender<Job>);

impl Notices {
    /// Prints a line on stderr.
    pub(super) fn say(&self, line: impl Into<String>) {
        self.0.send(Job::Notice(line.into())).ok();
    }

    /// Prints lines on stderr.
    pub(super) fn say_all(&self, lines: Vec<String>) {
        lines.into_iter().for_each(|line| self.say(line));
    }
}

/// Room for messages that wait for a slow stdout.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    /// Waits until there is room for another message.
    pub(super) async fn ready(&self) {
        drop(self.0.acquire().await);
    }
}

impl Output {
    /// Starts the thread. `bin` leaves the newline behind messages in a pipe out.
    pub(super) fn start(bin: bool) -> Self {
        let (jobs, queue) = mpsc::channel();
        let room = Arc::new(Semaphore::new(QUEUE as usize));
        let state = Arc::new(State::default());
        let writer = Writer {
            out: BufWriter::new(Stdout::open()),
            is_terminal: io::stdout().is_terminal(),
            bin,
            printer: None,
            room: room.clone(),
            state: state.clone(),
            then: None,
        };
        Self { jobs, room, state, thread: std::thread::spawn(move || writer.run(&queue)) }
    }

    /// Prints a line on stderr, at once. What is wrong with stderr interests nobody.
    pub(super) fn say(line: &str) {
        writeln!(io::stderr(), "{line}").ok();
    }

    pub(super) fn notices(&self) -> Notices {
        Notices(self.jobs.clone())
    }

    /// Prints above an edited line from now on.
    pub(super) fn print_above(&self, printer: Printer) {
        self.jobs.send(Job::Printer(printer)).ok();
    }

    pub(super) fn room(&self) -> Room {
        Room(self.room.clone())
    }

    /// Queues a message for stdout.
    pub(super) fn message(&self, message: Message<'static>) {
        let len = u32::try_from(message.len() + 64).unwrap_or(QUEUE).min(QUEUE);
        // What is taken beyond the room is waited for by `Room::ready`.
        let taken = match self.room.try_acquire_many(len) {
            Ok(permit) => {
                permit.forget();
                len
            }
            Err(_) => self.room.forget_permits(len as usize) as u32,
        };
        self.jobs.send(Job::Message(message, taken)).ok();
    }

    /// Calls this when the messages that were queued have been written, unless that failed. A later
    /// call takes the place of one that still waits.
    pub(super) fn then(&self, then: impl FnOnce() + Send + 'static) {
        self.jobs.send(Job::Then(Box::new(then))).ok();
    }

    /// Waits until nobody reads stdout any more.
    pub(super) async fn broken(&self) {
        if !self.state.is_broken.load(Ordering::Acquire) {
            self.state.broke.notified().await;
        }
    }

    /// Writes what is queued, for as long as `patience` lasts. Returns whether output was lost by a
    /// fault.
    pub(super) fn finish(self, patience: Option<Duration>) -> bool {
        self.jobs.send(Job::Stop).ok();
        match patience {
            None => drop(self.thread.join()),
            Some(patience) => {
                let until = std::time::Instant::now() + patience;
                while !self.thread.is_finished() && std::time::Instant::now() < until {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
        self.state.is_lost.load(Ordering::Acquire)
    }
}

struct Writer {
    out: BufWriter<Stdout>,
    is_terminal: bool,
    bin: bool,
    printer: Option<Printer>,
    room: Arc<Semaphore>,
    state: Arc<State>,
    then: Option<Then>,
}

impl Writer {
    fn run(mut self, queue: &mpsc::Receiver<Job>) {
        loop {
            let job = match queue.try_recv() {
                Ok(job) => job,
                Err(_) => {
                    self.flush();
                    let Ok(job) = queue.recv() else { break };
                    job
                }
            };
            match job {
                Job::Message(message, taken) => {
                    self.write_message(&message);
                    self.room.add_permits(taken as usize);
                }
                Job::Notice(line) => {
                    self.flush();
                    self.notice(line);
                }
                Job::Printer(printer) => self.printer = Some(printer),
                Job::Then(then) => self.then = Some(then),
                Job::Stop => break,
            }
        }
        self.flush();
        if let Some(printer) = self.printer {
            wait_for(printer);
        }
        if self.state.is_broken.load(Ordering::Acquire) {
            // What is in the buffer would be written once more when it is dropped.
            std::mem::forget(self.out);
        }
    }

    fn flush(&mut self) {
        self.check(Write::flush);
        let then = self.then.take().filter(|_| !self.state.is_broken.load(Ordering::Acquire));
        if let Some(then) = then {
            then();
        }
    }

    fn write_message(&mut self, message: &Message<'_>) {
        let bytes = message.as_bytes();
        if self.is_terminal {
            let mut shown = match message.as_text() {
                Some(text) => escape(text),
                None => hex_dump(bytes),
            };
            shown.push('\n');
            let is_printed = self.printer.as_mut().is_some_and(|print| print(shown.clone()));
            if !is_printed {
                self.check(|out| out.write_all(shown.as_bytes()));
            }
            return;
        }
        let newline: &[u8] = if self.bin { b"" } else { b"\n" };
        self.check(|out| out.write_all(bytes).and_then(|()| out.write_all(newline)));
    }

    fn notice(&mut self, mut line: String) {
        if let Some(print) = &mut self.printer
            && io::stderr().is_terminal()
        {
            line.push('\n');
            print(line);
        } else {
            Output::say(&line);
        }
    }

    /// Writes to stdout, unless that has failed before.
    fn check(&mut self, write: impl FnOnce(&mut BufWriter<Stdout>) -> io::Result<()>) {
        if self.state.is_broken.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = write(&mut self.out) {
            if error.kind() != io::ErrorKind::BrokenPipe {
                Output::say(&format!("everwire: cannot write to stdout: {error}"));
                self.state.is_lost.store(true, Ordering::Release);
            }
            self.state.is_broken.store(true, Ordering::Release);
            self.state.broke.notify_one();
        }
    }
}

/// Waits until an editor has printed what it was given, which it does in its own time.
fn wait_for(mut printer: Printer) {
    let (sender, printed) = mpsc::channel();
    std::thread::spawn(move || {
        // It takes one text at a time and holds one more: when it has room for the second of
        // these, it has taken the first, and so has printed all before that.
        for _ in 0..2 {
            printer(NOTHING.to_owned());
        }
        sender.send(()).ok();
    });
    printed.recv_timeout(EDITOR_PATIENCE).ok();
}
