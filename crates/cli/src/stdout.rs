//! Stdout, as it was given to us.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    fs::{OFlags, fcntl_getfl},
    io::Errno,
};

/// Whether there was no stdout when the program began.
static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Looks before `main`: what runs ahead of it puts /dev/null in the place of a stdout that is
/// closed, and there is no other way to tell the two apart.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the function needs nothing that has to be initialised before it")]
#[unsafe(link_section = ".init_array")]
#[used]
static LOOK: extern "C" fn() = {
    extern "C" fn look() {
        let is_closed = rustix::io::fcntl_getfd(rustix::stdio::stdout()) == Err(Errno::BADF);
        WAS_CLOSED.store(is_closed, Ordering::Relaxed);
    }
    look
};

/// Stdout that says so when it cannot be written: the one of `std` swallows what is written to a
/// descriptor that is closed or was opened for reading.
#[derive(Debug)]
pub(crate) struct Stdout {
    out: io::Stdout,
    is_writable: bool,
}

impl Stdout {
    pub(crate) fn open() -> Self {
        let out = io::stdout();
        let access = fcntl_getfl(&out).map(|flags| flags & OFlags::ACCMODE);
        let is_writable = access.is_ok_and(|access| access != OFlags::RDONLY)
            && !WAS_CLOSED.load(Ordering::Relaxed);
        Self { out, is_writable }
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_writable { self.out.write(bytes) } else { Err(Errno::BADF.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Prints all there is to say, and returns `code`, or 1 and says why if it cannot be written.
/// Whoever closes a pipe has read enough.
pub(crate) fn print(bytes: &[u8], code: ExitCode) -> ExitCode {
    let mut stdout = Stdout::open();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            writeln!(io::stderr(), "everwire: cannot write to stdout: {error}").ok();
            ExitCode::from(1)
        }
        _ => code,
    }
}
