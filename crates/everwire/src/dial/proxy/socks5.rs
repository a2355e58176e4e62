//! The tunnel of a SOCKS5 proxy: CONNECT, with or without a user name. See RFC 1928 and RFC 1929.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::ProxyError;
use crate::dial::Credentials;

const VERSION: u8 = 5;
const NO_AUTH: u8 = 0;
const USER_PASSWORD: u8 = 2;
const NONE_ACCEPTABLE: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const DOMAIN: u8 = 3;
const IPV6: u8 = 4;

/// Where the proxy shall connect to.
#[derive(Clone, Copy, Debug)]
pub(in crate::dial) enum Destination<'a> {
    /// An address (`socks5`).
    Addr(SocketAddr),
    /// A name that the proxy resolves (`socks5h`).
    Name(&'a str, u16),
}

/// Asks for a tunnel to `destination`. On success the next byte from the stream is the server's.
///
/// # Errors
/// Refused log-ins and connections, replies that are not SOCKS5, names above 255 bytes.
///
/// # Cancel safety
/// Not cancel-safe: after a cancelled call the stream is of no use.
pub(in crate::dial) async fn connect<S>(
    stream: &mut S,
    credentials: Option<&Credentials>,
    destination: Destination<'_>,
) -> Result<(), ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = request(destination)?;
    match negotiate_method(stream, credentials.is_some()).await? {
        NO_AUTH => {}
        USER_PASSWORD if let Some(credentials) = credentials => log_in(stream, credentials).await?,
        NONE_ACCEPTABLE => {
            return Err(ProxyError::NoAcceptableAuth {
                offered_credentials: credentials.is_some(),
            });
        }
        _ => {
            return Err(ProxyError::Malformed {
                problem: "chose a socks5 method that was not offered",
            });
        }
    }
    stream.write_all(&request).await?;
    stream.flush().await?;
    read_reply(stream).await
}

/// RFC 1928 §3: the client offers methods, the server picks one.
async fn negotiate_method<S>(stream: &mut S, has_credentials: bool) -> Result<u8, ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let offer: &[u8] = if has_credentials {
        &[VERSION, 2, NO_AUTH, USER_PASSWORD]
    } else {
        &[VERSION, 1, NO_AUTH]
    };
    stream.write_all(offer).await?;
    stream.flush().await?;
    expect_version(stream, VERSION).await?;
    Ok(stream.read_u8().await?)
}

/// RFC 1929 §2.
async fn log_in<S>(stream: &mut S, credentials: &Credentials) -> Result<(), ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    const NEGOTIATION_VERSION: u8 = 1;
    let mut request = vec![NEGOTIATION_VERSION];
    push_short(&mut request, credentials.user(), "the user name")?;
    push_short(&mut request, credentials.password(), "the password")?;
    stream.write_all(&request).await?;
    stream.flush().await?;
    // Some proxies repeat the version of SOCKS here, so only the status counts.
    stream.read_u8().await?;
    match stream.read_u8().await? {
        0 => Ok(()),
        _ => Err(ProxyError::AuthRefused),
    }
}

/// RFC 1928 §4.
fn request(destination: Destination<'_>) -> Result<Vec<u8>, ProxyError> {
    let mut request = vec![VERSION, CONNECT, 0];
    let port = match destination {
        Destination::Addr(addr) => {
            match addr.ip() {
                IpAddr::V4(ip) => {
                    request.push(IPV4);
                    request.extend(ip.octets());
                }
                IpAddr::V6(ip) => {
                    request.push(IPV6);
                    request.extend(ip.octets());
                }
            }
            addr.port()
        }
        Destination::Name(name, port) => {
            request.push(DOMAIN);
            push_short(&mut request, name, "the host name")?;
            port
        }
    };
    request.extend(port.to_be_bytes());
    Ok(request)
}

/// RFC 1928 §6. The bound address is of no use to us, but it must be read to its end.
async fn read_reply<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(), ProxyError> {
    expect_version(stream, VERSION).await?;
    let reply = stream.read_u8().await?;
    // A proxy that refuses may close without the rest.
    if reply != 0 {
        return Err(ProxyError::Socks5Refused { reply });
    }
    stream.read_u8().await?;
    let addr_len = match stream.read_u8().await? {
        IPV4 => 4,
        IPV6 => 16,
        DOMAIN => usize::from(stream.read_u8().await?),
        _ => {
            return Err(ProxyError::Malformed { problem: "unknown socks5 address type" });
        }
    };
    let mut addr_and_port = [0; 255 + 2];
    stream.read_exact(&mut addr_and_port[..addr_len + 2]).await?;
    Ok(())
}

async fn expect_version<S: AsyncRead + Unpin>(
    stream: &mut S,
    version: u8,
) -> Result<(), ProxyError> {
    if stream.read_u8().await? == version {
        Ok(())
    } else {
        Err(ProxyError::Malformed { problem: "expected a socks5 reply" })
    }
}

fn push_short(request: &mut Vec<u8>, text: &str, what: &'static str) -> Result<(), ProxyError> {
    let len = u8::try_from(text.len()).map_err(|_| ProxyError::TooLong { what })?;
    request.push(len);
    request.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Returns the words of RFC 1928 §6.
pub(super) fn reply_text(reply: u8) -> &'static str {
    match reply {
        1 => "general server failure",
        2 => "not allowed by ruleset",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "ttl expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unassigned reply",
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// Plays a proxy that sends `answers` at once; returns the result, what the client sent and left unread.
    async fn run(
        login: Option<(&str, &str)>,
        to: Destination<'_>,
        answers: &[u8],
    ) -> (Result<(), ProxyError>, Vec<u8>, Vec<u8>) {
        let (mut client, mut server) = duplex(4096);
        server.write_all(answers).await.unwrap();
        server.shutdown().await.unwrap();
        let credentials = login.map(|(user, password)| Credentials::new(user, password).unwrap());
        let result = connect(&mut client, credentials.as_ref(), to).await;
        let (mut sent, mut rest) = (Vec::new(), Vec::new());
        client.read_to_end(&mut rest).await.unwrap();
        drop(client);
        server.read_to_end(&mut sent).await.unwrap();
        (result, sent, rest)
    }

    fn addr(text: &str) -> Destination<'static> {
        Destination::Addr(text.parse().unwrap())
    }

    #[tokio::test]
    async fn an_address_is_requested_without_authentication() {
        let answers = [5, 0, 5, 0, 0, 1, 1, 2, 3, 4, 0, 80, b'T'];
        let (result, sent, rest) = run(None, addr("192.0.2.1:443"), &answers).await;
        result.unwrap();
        assert_eq!(sent, [5, 1, 0, 5, 1, 0, 1, 192, 0, 2, 1, 1, 187]);
        assert_eq!(rest, b"T");
    }

    #[tokio::test]
    async fn a_name_is_requested_after_logging_in() {
        let answers = [5, 2, 1, 0, 5, 0, 0, 3, 2, b'h', b'i', 0, 80, b'T'];
        let (result, sent, rest) =
            run(Some(("me", "pw")), Destination::Name("ws.test", 80), &answers).await;
        result.unwrap();
        assert_eq!(sent, b"\x05\x02\x00\x02\x01\x02me\x02pw\x05\x01\x00\x03\x07ws.test\x00\x50");
        assert_eq!(rest, b"T");
    }

    #[tokio::test]
    async fn ipv6_goes_both_ways() {
        let mut answers = vec![5, 0, 5, 0, 0, 4];
        answers.extend([0; 18]);
        let (result, sent, rest) = run(None, addr("[2001:db8::1]:1"), &answers).await;
        result.unwrap();
        assert_eq!((sent[6], sent.len(), rest.len()), (4, 3 + 4 + 16 + 2, 0));
    }

    #[track_caller]
    fn check(result: Result<(), ProxyError>, expected: &str) {
        assert_eq!(result.unwrap_err().to_string(), expected);
    }

    #[tokio::test]
    async fn refusals_say_why() {
        let login = Some(("me", "pw"));
        check(
            run(None, addr("192.0.2.1:1"), &[5, 255]).await.0,
            "asks for a user name and password",
        );
        check(
            run(login, addr("192.0.2.1:1"), &[5, 255]).await.0,
            "accepts no user name and password",
        );
        check(
            run(login, addr("192.0.2.1:1"), &[5, 2, 1, 1]).await.0,
            "refused the user name and password",
        );
        let refused = run(None, addr("192.0.2.1:1"), &[5, 0, 5, 5]).await.0;
        check(refused, "refused the connection: connection refused (reply 5)");
    }

    #[tokio::test]
    async fn replies_that_are_not_socks5_are_errors() {
        let to = || addr("192.0.2.1:1");
        check(
            run(None, to(), b"HTTP/1.1 400").await.0,
            "malformed response: expected a socks5 reply",
        );
        check(
            run(None, to(), &[5, 2]).await.0,
            "malformed response: chose a socks5 method that was not offered",
        );
        check(
            run(None, to(), &[5, 0, 5, 0, 0, 9]).await.0,
            "malformed response: unknown socks5 address type",
        );
        check(
            run(None, to(), &[5, 0, 5]).await.0,
            "closed the connection in the middle of its answer",
        );
    }

    #[tokio::test]
    async fn a_name_of_256_bytes_is_refused_before_anything_is_sent() {
        let name = "x".repeat(256);
        let (result, sent, _) = run(None, Destination::Name(&name, 1), &[]).await;
        check(result, "the host name exceeds the limit of 255 bytes in socks5");
        assert!(sent.is_empty());
    }
}
