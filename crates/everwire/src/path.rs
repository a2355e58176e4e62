//! What the system knows of the path to a peer.
#![allow(unsafe_code)] // No crate reads TCP_INFO without it.

use std::{any::Any, time::Duration};

use everwire_proto::{Config, PathFacts};

/// How much later than the write timeout the system gives up, so that the closure names that.
const AFTER_WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest that the system takes for TCP_USER_TIMEOUT, in milliseconds.
const LONGEST: u64 = i32::MAX as u64;

/// Returns for how long the system may wait for an acknowledgement before it gives up the path
/// (`TCP_USER_TIMEOUT`): as long as the keepalive waits for any life, but longer than the write
/// timeout. Linux counts a window that stays closed as a path that acknowledges nothing, and a
/// reader that is slow is no dead peer.
pub(crate) fn user_timeout(config: &Config) -> Option<Duration> {
    let policy = config.keepalive?;
    let timeout = policy.interval.saturating_add(policy.timeout);
    let write_timeout = config.write_timeout.saturating_add(AFTER_WRITE_TIMEOUT);
    Some(timeout.max(write_timeout).min(Duration::from_millis(LONGEST)))
}

/// Returns what the system knows of the path under a stream, if there is TCP at its bottom.
pub(crate) fn facts(io: &dyn Any) -> Option<PathFacts> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsFd;

        use crate::{dial::DialStream, event_loop::LoopSocket, io::Io};

        if let Some(io) = io.downcast_ref::<LoopSocket>() {
            linux::facts(io.stream().as_fd())
        } else if let Some(io) = io.downcast_ref::<Io>() {
            linux::facts(io.tcp()?)
        } else if let Some(io) = io.downcast_ref::<DialStream>() {
            linux::facts(io.tcp()?.as_fd())
        } else {
            None
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = io;
        None
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        mem::{MaybeUninit, offset_of},
        os::fd::{AsRawFd, BorrowedFd},
        time::Duration,
    };

    use everwire_proto::PathFacts;

    pub(super) fn facts(socket: BorrowedFd<'_>) -> Option<PathFacts> {
        let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
        let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
        // SAFETY: the descriptor is open as long as it is borrowed; `info` has room for `len` bytes.
        let status = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut len,
            )
        };
        // An older system tells less.
        if status != 0 || (len as usize) < offset_of!(libc::tcp_info, tcpi_min_rtt) {
            return None;
        }
        // SAFETY: plain numbers, all of them zero or written by the system.
        let info = unsafe { info.assume_init() };
        let in_flight = u64::from(info.tcpi_unacked) * u64::from(info.tcpi_snd_mss);
        Some(PathFacts::new(
            in_flight + u64::from(info.tcpi_notsent_bytes),
            // A closed window is asked for by probes, which a peer that lives acknowledges.
            info.tcpi_retransmits.max(info.tcpi_probes).into(),
            Duration::from_millis(info.tcpi_last_ack_recv.into()),
        ))
    }

    #[cfg(test)]
    mod tests {
        use std::{
            io::{Read, Write},
            net::{TcpListener, TcpStream},
            os::fd::AsFd,
        };

        use super::*;

        #[test]
        fn what_a_peer_does_not_take_is_unacknowledged_until_it_does() {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut theirs, _) = listener.accept().unwrap();
            ours.set_nonblocking(true).unwrap();
            let (mut sent, chunk) = (0, vec![7; 1 << 20]);
            while let Ok(n) = ours.write(&chunk) {
                sent += n;
            }
            let full = facts(ours.as_fd()).unwrap();
            assert!(full.unacked > 0, "{full:?}");
            assert_eq!(full.retransmits, 0, "{full:?}");
            theirs.read_exact(&mut vec![0; sent]).unwrap();
            while facts(ours.as_fd()).unwrap().unacked > 0 {
                std::thread::yield_now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use everwire_proto::Keepalive;

    use super::*;

    #[track_caller]
    fn check(keepalive: Option<Keepalive>, write_timeout: Duration, expected: Option<Duration>) {
        let mut config = Config::default();
        (config.keepalive, config.write_timeout) = (keepalive, write_timeout);
        assert_eq!(user_timeout(&config), expected);
    }

    #[test]
    fn the_system_is_more_patient_than_the_write_timeout_and_no_less_than_the_keepalive() {
        let seconds = Duration::from_secs;
        check(Some(Keepalive::standard()), seconds(30), Some(seconds(45)));
        check(Some(Keepalive::fast()), seconds(30), Some(seconds(31)));
        check(None, seconds(30), None);
        let for_ever = Keepalive::new(Duration::MAX, seconds(1));
        check(Some(for_ever), seconds(30), Some(Duration::from_millis(LONGEST)));
    }
}
