//! What can be wrong, by names that stay.

use std::fmt;

use serde::{Serialize, Serializer};

/// One thing that is wrong: who is to blame, what was expected, what came, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Fault {
    pub(super) id: FaultId,
    pub(super) blame: Blame,
    pub(super) what: String,
    pub(super) expected: String,
    pub(super) came: String,
    pub(super) advice: String,
}

impl Fault {
    /// Says what is wrong. The server is to blame unless [`blame`](Self::blame) says otherwise.
    pub(super) fn new(
        id: FaultId,
        expected: impl Into<String>,
        came: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            id,
            blame: Blame::Server,
            what: id.words().to_owned(),
            expected: expected.into(),
            came: came.into(),
            advice: advice.into(),
        }
    }

    #[must_use]
    pub(super) fn blame(mut self, blame: Blame) -> Self {
        self.blame = blame;
        self
    }
}

/// Who is to blame, as far as can be told from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Blame {
    /// The server, or a proxy right in front of it.
    Server,
    /// The name service, or a wrong name.
    Dns,
    /// The network between here and there.
    Network,
    /// The proxy that was to be gone through.
    Proxy,
    /// Whoever asked.
    Caller,
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "the server",
            Self::Dns => "the name service, or the name",
            Self::Network => "the network, or the server",
            Self::Proxy => "the proxy",
            Self::Caller => "the caller",
        })
    }
}

/// Declares the faults: a name for the code, the id for machines, the words for people.
macro_rules! faults {
    ($($name:ident = $id:literal, $words:literal;)*) => {
        /// The name of a kind of fault: the check, a full stop, what is wrong with it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum FaultId {
            $($name,)*
        }

        impl FaultId {
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the stable id.
            pub(super) fn id(self) -> &'static str {
                match self {
                    $(Self::$name => $id,)*
                }
            }

            /// Returns what it means.
            pub(super) fn words(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }
        }
    };
}

faults! {
    DnsFailed = "dns.failed", "the name cannot be resolved";
    DnsTimeout = "dns.timeout", "the name service does not answer";
    TcpFailed = "tcp.failed", "no address accepts a connection";
    TcpTimeout = "tcp.timeout", "no address answers";
    ProxyFailed = "proxy.failed", "the proxy opens no way to the server";
    ProxyTimeout = "proxy.timeout", "the proxy does not answer";
    TlsFailed = "tls.failed", "TLS cannot be set up";
    TlsTimeout = "tls.timeout", "the TLS handshake does not finish";
    TlsCertificate = "tls.certificate", "the certificate is not acceptable";
    TlsExpiresSoon = "tls.expires_soon", "the certificate expires soon";
    UpgradeTimeout = "upgrade.timeout", "the opening handshake is not answered";
    UpgradeCut = "upgrade.cut", "the connection ends instead of an answer to the opening handshake";
    UpgradeNotHttp = "upgrade.not_http", "the answer to the opening handshake is not HTTP";
    UpgradeTlsOnPlain = "upgrade.tls_on_plain_port", "the server speaks TLS, and the URL says ws";
    UpgradeRefused = "upgrade.refused", "the server refuses the opening handshake";
    UpgradeHttpVersion = "upgrade.http_version", "the 101 is not HTTP/1.1";
    UpgradeHeaders = "upgrade.headers", "a header of the 101 is missing or wrong";
    UpgradeAccept = "upgrade.accept", "the accept value does not answer our key";
    UpgradeSubprotocol = "upgrade.subprotocol", "the server chose a subprotocol that was not offered";
    UpgradeNoSubprotocol = "upgrade.no_subprotocol", "the server chose none of the offered subprotocols";
    UpgradeExtension = "upgrade.extension", "the server chose an extension that was not offered, or not properly";
    ConnectionClosed = "connection.closed", "the server closes while it is examined";
    ConnectionCut = "connection.cut", "the connection ends while it is examined";
    ProtocolViolation = "protocol.violation", "a frame breaks RFC 6455";
    PingNoPong = "ping.no_pong", "Pings are not answered";
    PingWrongPayload = "ping.wrong_payload", "a Pong does not carry the payload of its Ping";
    MessageCut = "message.cut", "the connection is cut because of a message";
    MessageWrongCode = "message.wrong_code", "a message that is too big is not refused with 1009";
    MessageSwallowed = "message.swallowed", "a message that is too big vanishes";
    MessageEchoDiffers = "message.echo_differs", "an echo is not what was sent";
    CloseNoAnswer = "close.no_answer", "the Close is not answered";
    CloseCut = "close.cut", "the connection ends instead of an answer to the Close";
    CloseReset = "close.reset", "the connection is reset instead of an answer to the Close";
    CloseInvalidCode = "close.invalid_code", "the Close carries a code that must not be on the wire";
    CloseWrongCode = "close.wrong_code", "the Close is answered with another code";
    CloseDataAfter = "close.data_after", "something follows the server's Close";
    CloseResetAfter = "close.reset_after", "the connection is reset after the closing handshake";
    CloseTcpLeftOpen = "close.tcp_left_open", "the server does not close TCP after the closing handshake";
    IdleOutage = "idle.outage", "the server cannot be reached any more";
}

impl FaultId {
    /// Returns the check that found it.
    pub(super) fn check(self) -> &'static str {
        self.id().split('.').next().unwrap_or_default()
    }
}

impl Serialize for FaultId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_name_of_its_own_that_is_documented() {
        let documented = include_str!("../../../../docs/probe.md");
        let mut ids: Vec<&str> = FaultId::ALL.iter().map(|fault| fault.id()).collect();
        for id in &ids {
            assert!(documented.contains(&format!("| `{id}` |")), "{id} is not documented");
        }
        let n = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), n);
    }
}
