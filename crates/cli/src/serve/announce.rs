//! What the server says on stdout: where it is, and how it ended.

use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
};

use everwire::{BoundAddr, Drained, Server};

/// How a public address is opened in a browser.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// Prints a line at once. Nobody may be reading, which is no error.
pub(super) fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).ok();
}

/// Says where everything is, a line for each address.
pub(super) fn started(server: &Server, admin: Option<&Server>, scheme: Scheme) {
    for addr in server.addrs() {
        match addr {
            BoundAddr::Tcp(addr) => {
                let url = Url(scheme, *addr);
                let every = if addr.ip().is_unspecified() { "on every address; " } else { "" };
                say(&format!("everwire listening on {url}  ({every}try /echo and /chat)"));
            }
            addr => say(&format!("everwire listening on {addr}")),
        }
    }
    for addr in admin.into_iter().filter_map(Server::local_addr) {
        say(&format!("admin API on {}  (/connections and /metrics)", Url(Scheme::Http, addr)));
    }
}

/// Says how the shutdown went.
pub(super) fn drained(drained: Drained) {
    let Drained { clean, cut, unsent, .. } = drained;
    let plural = |n: u64| if n == 1 { "" } else { "s" };
    let connections = format!("{clean} connection{}", plural(clean as u64));
    let lost = match unsent {
        0 => String::new(),
        n => format!(", dropped {n} message{}", plural(n)),
    };
    say(&format!("closed {connections} cleanly, cut {cut}{lost}"));
}

/// The address of a page; "every address" is one of them.
struct Url(Scheme, SocketAddr);

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(scheme, addr) = self;
        let scheme = match scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        if addr.ip().is_unspecified() {
            write!(f, "{scheme}://localhost:{}/", addr.port())
        } else {
            write!(f, "{scheme}://{addr}/")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_can_be_opened() {
        let url = |scheme, addr: &str| Url(scheme, addr.parse().unwrap()).to_string();
        assert_eq!(url(Scheme::Http, "127.0.0.1:80"), "http://127.0.0.1:80/");
        assert_eq!(url(Scheme::Https, "[::1]:443"), "https://[::1]:443/");
        assert_eq!(url(Scheme::Http, "[::]:8080"), "http://localhost:8080/");
    }
}
