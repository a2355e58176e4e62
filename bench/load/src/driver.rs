//! The poll loop over all connections.

use std::io::Read;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::connection::{Connection, Scratch};
use crate::handshake;
use crate::options::Options;
use crate::template::Template;

/// Without any progress for this long the run has failed. Servers under valgrind are slow, so it is generous.
const STALL: Duration = Duration::from_secs(60);
const CLOSE_DEADLINE: Duration = Duration::from_secs(60);
/// Of so many connections that are opened, servers that are slow may have asked.
const TEND_EVERY: usize = 256;
const STDIN: Token = Token(usize::MAX);

/// When a run ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After exactly this many messages on all connections together.
    Messages(u64),
    /// After this time, once the echoes in flight have arrived.
    Elapsed(Duration),
}

pub struct Driver<'a> {
    options: &'a Options,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    scratch: Scratch,
}

impl<'a> Driver<'a> {
    pub fn new(options: &'a Options) -> Result<Self> {
        Ok(Self {
            options,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            connections: Vec::new(),
            scratch: Scratch::default(),
        })
    }

    /// Opens `n` more connections, one after the other.
    pub fn open(&mut self, n: usize) -> Result<()> {
        for i in 0..n {
            if i % TEND_EVERY == TEND_EVERY - 1 {
                self.answer_pings()?;
            }
            let id = self.connections.len();
            let mut connection =
                Connection::new(id, TcpStream::from_std(handshake::connect(self.options)?));
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(connection.stream_mut(), Token(id), interest)?;
            self.connections.push(connection);
        }
        Ok(())
    }

    /// Answers those who ask whether they still live while others are opened.
    fn answer_pings(&mut self) -> Result<()> {
        let template = Template::new(self.options.kind, self.options.size, self.options.carrier);
        self.poll.poll(&mut self.events, Some(Duration::ZERO))?;
        for event in &self.events {
            self.connections[event.token().0].drive(&template, 1, &mut self.scratch)?;
        }
        Ok(())
    }

    /// Echoes on the connections in `range` and returns the number of messages. If no more than a `window` of them may
    /// do so at a time, they take turns, in each of which one sends `depth` messages.
    pub fn echo(
        &mut self,
        range: Range<usize>,
        template: &Template,
        depth: u64,
        until: Until,
        window: usize,
    ) -> Result<u64> {
        let echoed_before = self.echoed(range.clone());
        let n_connections = range.len() as u64;
        let (n_messages, mut deadline) = match until {
            Until::Messages(n) => (n, None),
            Until::Elapsed(time) => (u64::MAX, Some(Instant::now() + time)),
        };
        // A connection gets its goal when its turn comes; until then events on it start nothing.
        let mut waiting: Box<dyn Iterator<Item = (usize, u64)>> = if window < range.len() {
            let turns = (0..n_messages.div_ceil(depth)).map(|i| depth.min(n_messages - i * depth));
            Box::new(range.clone().cycle().zip(turns))
        } else {
            let (share, remainder) = match until {
                Until::Messages(n) => (n / n_connections, n % n_connections),
                Until::Elapsed(_) => (u64::MAX, 0),
            };
            Box::new(
                range
                    .clone()
                    .zip((0..n_connections).map(move |i| share + u64::from(i < remainder))),
            )
        };
        let mut n_active = 0;
        loop {
            for (id, goal) in waiting.by_ref().filter(|&(_, goal)| goal > 0).take(window - n_active)
            {
                let connection = &mut self.connections[id];
                n_active += usize::from(connection.is_done());
                connection.add_goal(goal);
                connection.drive(template, depth, &mut self.scratch)?;
            }
            if n_active == 0 {
                return Ok(self.echoed(range) - echoed_before);
            }
            self.wait(deadline.map(|at| at.saturating_duration_since(Instant::now())))?;
            for event in &self.events {
                let connection = &mut self.connections[event.token().0];
                let was_done = connection.is_done();
                connection.drive(template, depth, &mut self.scratch)?;
                n_active -= usize::from(!was_done && connection.is_done());
            }
            if deadline.is_some_and(|at| Instant::now() >= at) {
                deadline = None;
                waiting = Box::new(std::iter::empty());
                self.connections[range.clone()].iter_mut().for_each(Connection::stop);
                n_active = range.clone().filter(|&id| !self.connections[id].is_done()).count();
            }
        }
    }

    /// Lets the first connection speak to all, `depth` messages at a time, and returns how many were received by all
    /// together. The next are sent when everybody has received the last.
    pub fn fan_out(&mut self, template: &Template, depth: u64, until: Until) -> Result<u64> {
        let n = self.connections.len() as u64;
        self.connections.iter_mut().for_each(|connection| connection.listen_to(0));
        let before = self.echoed(0..self.connections.len());
        let (mut left, deadline) = match until {
            Until::Messages(deliveries) => (deliveries / n, None),
            Until::Elapsed(time) => (u64::MAX, Some(Instant::now() + time)),
        };
        while left > 0 && deadline.is_none_or(|at| Instant::now() < at) {
            let batch = depth.min(left);
            left -= batch;
            self.connections.iter_mut().for_each(|connection| connection.add_goal(batch));
            self.connections[0].drive(template, depth, &mut self.scratch)?;
            let mut n_active = self.connections.len();
            while n_active > 0 {
                self.wait(None)?;
                for event in &self.events {
                    let connection = &mut self.connections[event.token().0];
                    let was_done = connection.is_done();
                    connection.drive(template, depth, &mut self.scratch)?;
                    n_active -= usize::from(!was_done && connection.is_done());
                }
            }
        }
        Ok(self.echoed(0..self.connections.len()) - before)
    }

    fn echoed(&self, range: Range<usize>) -> u64 {
        self.connections[range].iter().map(Connection::received).sum()
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.poll.poll(&mut self.events, Some(timeout.unwrap_or(STALL)))?;
        if timeout.is_none() && self.events.is_empty() {
            bail!("the server echoed nothing for {STALL:?}");
        }
        Ok(())
    }

    /// Answers pings until standard input ends.
    pub fn hold_until_stdin_ends(&mut self) -> Result<()> {
        let template = Template::new(self.options.kind, self.options.size, self.options.carrier);
        // Shared, since a waker that is dropped takes its unread event along.
        let waker = Arc::new(Waker::new(self.poll.registry(), STDIN)?);
        let thread_waker = Arc::clone(&waker);
        std::thread::spawn(move || {
            // An error ends the wait as well as the end of the input does.
            let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
            thread_waker.wake()
        });
        loop {
            self.poll.poll(&mut self.events, None)?;
            for event in &self.events {
                if event.token() == STDIN {
                    return Ok(());
                }
                self.connections[event.token().0].drive(&template, 1, &mut self.scratch)?;
            }
        }
    }

    /// Closes every connection and waits until the server has closed TCP.
    pub fn close(&mut self) -> Result<()> {
        let template = Template::new(self.options.kind, self.options.size, self.options.carrier);
        for connection in &mut self.connections {
            connection.start_close(template.is_raw())?;
        }
        let deadline = Instant::now() + CLOSE_DEADLINE;
        while self.connections.iter().any(|connection| !connection.is_closed()) {
            let left = deadline.saturating_duration_since(Instant::now());
            ensure!(
                !left.is_zero(),
                "the server has not closed every connection after {CLOSE_DEADLINE:?}"
            );
            self.wait(Some(left))?;
            for event in &self.events {
                if let Some(connection) = self.connections.get_mut(event.token().0) {
                    connection.drive(&template, 1, &mut self.scratch)?;
                }
            }
        }
        Ok(())
    }
}
