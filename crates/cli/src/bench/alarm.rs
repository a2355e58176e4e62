//! Waking up at a time, to the microsecond where the system can: the runtime's own timers are
//! rounded up to a millisecond, which would be most of a latency.

use std::{io, time::Instant};

#[cfg(target_os = "linux")]
pub(super) use self::linux::Alarm;

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::OwnedFd;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    use super::{Instant, io};

    /// A timer of the kernel among the sockets of a runtime.
    #[derive(Debug)]
    pub(in crate::bench) struct Alarm(AsyncFd<OwnedFd>);

    impl Alarm {
        /// # Errors
        /// The process has no descriptor left.
        pub(in crate::bench) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            #[expect(deprecated, reason = "unsound for types that change descriptors only")]
            let watched = AsyncFd::with_interest(timer, tokio::io::Interest::READABLE);
            watched.map(Self)
        }

        /// Waits until `at`; lets others run once if that has passed.
        pub(in crate::bench) async fn until(&self, at: Instant) -> io::Result<()> {
            let wait = at.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                tokio::task::yield_now().await;
                return Ok(());
            }
            let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
            let it_value = Timespec { tv_sec: seconds, tv_nsec: wait.subsec_nanos().into() };
            let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
            let timer = Itimerspec { it_interval, it_value };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &timer)?;
            loop {
                let mut guard = self.0.readable().await?;
                let read = guard.try_io(|timer| {
                    rustix::io::read(timer.get_ref(), &mut [0; 8]).map_err(io::Error::from)
                });
                if let Ok(read) = read {
                    return read.map(drop);
                }
            }
        }
    }
}

/// The runtime's timer.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) struct Alarm;

#[cfg(not(target_os = "linux"))]
impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(super) async fn until(&self, at: Instant) -> io::Result<()> {
        tokio::time::sleep_until(at.into()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_wakes_up_again_and_again_and_never_early() {
        let alarm = Alarm::new().unwrap();
        for micros in [0, 1, 300, 2_500] {
            let at = Instant::now() + Duration::from_micros(micros);
            alarm.until(at).await.unwrap();
            assert!(Instant::now() >= at, "{micros}");
        }
    }
}
