//! Where the admin API is and who may use it.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::ensure;
use clap::builder::NonEmptyStringValueParser;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Administration")]
pub(in crate::serve) struct AdminArgs {
    /// Where to list and close connections and read metrics, or off.
    #[arg(
        long,
        value_name = "ADDR:PORT",
        env = "EVERWIRE_ADMIN",
        default_value = "127.0.0.1:8081",
        value_parser = parse_admin
    )]
    pub(in crate::serve) admin: AdminAddr,

    /// A secret that requests to the admin address must carry as `Authorization: Bearer …`;
    /// required when that address is not a loopback one.
    #[arg(
        long,
        value_name = "SECRET",
        env = "EVERWIRE_ADMIN_TOKEN",
        hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new()
    )]
    pub(in crate::serve) admin_token: Option<String>,

    /// One more name by which the admin address may be called (in the Host header), beside
    /// localhost and the address itself; may be given several times, or several with
    /// commas between them.
    #[arg(long, value_name = "HOST", env = "EVERWIRE_ADMIN_HOST", value_delimiter = ',')]
    pub(in crate::serve) admin_host: Vec<String>,
}

/// Where the admin API is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve) enum AdminAddr {
    Off,
    At(SocketAddr),
}

fn parse_admin(text: &str) -> Result<AdminAddr, &'static str> {
    if text == "off" {
        return Ok(AdminAddr::Off);
    }
    let mut addrs = text.to_socket_addrs().ok().into_iter().flatten();
    let expected = "expected ADDR:PORT such as 127.0.0.1:8081, or off";
    addrs.next().map(AdminAddr::At).ok_or(expected)
}

impl AdminArgs {
    /// Checks what single options cannot know.
    ///
    /// # Errors
    /// An admin API that others could reach has no token.
    pub(in crate::serve) fn check(&self) -> anyhow::Result<()> {
        if let AdminAddr::At(addr) = self.admin {
            let is_safe = addr.ip().to_canonical().is_loopback() || self.admin_token.is_some();
            ensure!(is_safe, "--admin {addr} is not a loopback address: it needs --admin-token");
        }
        Ok(())
    }
}
