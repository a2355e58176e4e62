//! Two network namespaces and a wire between them, on which packets can be dropped.

use std::{
    fs::{self, File},
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    os::fd::AsFd,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::{Builder, Handle};

/// What the names of our namespaces begin with; the process and the side follow.
const PREFIX: &str = "everwire-lifecycle";

/// Two hosts and a wire. Dropped, they are removed.
pub(crate) struct Namespaces {
    /// Where it is looked at what happens.
    pub(crate) near: Host,
    /// What can be cut off.
    pub(crate) far: Host,
}

/// One namespace, and a thread in it.
pub(crate) struct Host {
    name: String,
    pub(crate) addr: Ipv4Addr,
    /// Runs futures on its thread: their sockets are in the namespace.
    pub(crate) runtime: Handle,
}

/// Returns why namespaces cannot be made here, if so.
pub(crate) fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("namespaces need root");
    }
    let has = |command: &str, arg: &str| run(command, &[arg]).is_ok();
    if !has("ip", "-V") {
        return Some("the command ip is missing (Debian: iproute2)");
    }
    if !has("iptables", "-V") {
        return Some("the command iptables is missing (Debian: iptables)");
    }
    let name = format!("{PREFIX}-{}-trial", std::process::id());
    if run("ip", &["netns", "add", &name]).is_err() {
        return Some("this process may not make network namespaces");
    }
    let has_iptables = run("ip", &["netns", "exec", &name, "iptables", "-w", "-L", "-n"]).is_ok();
    run("ip", &["netns", "del", &name]).ok();
    (!has_iptables).then_some("iptables does not work in a network namespace here")
}

impl Namespaces {
    pub(crate) fn new() -> Result<Self> {
        remove_left_over();
        let [near, far] =
            ["near", "far"].map(|side| format!("{PREFIX}-{}-{side}", std::process::id()));
        let made = Removed([near.clone(), far.clone()]);
        ip(&["netns", "add", &near])?;
        ip(&["netns", "add", &far])?;
        ip(&[
            "link", "add", "eth0", "netns", &near, "type", "veth", "peer", "name", "eth0", "netns",
            &far,
        ])?;
        let near = Host::new(near, Ipv4Addr::new(192, 0, 2, 1))?;
        let far = Host::new(far, Ipv4Addr::new(192, 0, 2, 2))?;
        std::mem::forget(made); // From here on it is the drop of what is returned.
        Ok(Self { near, far })
    }

    /// Loses every packet from and to the far host that is of this server, from the moment at which this
    /// returns at the latest. Clients of other servers may have the same port on the other host.
    pub(crate) fn cut(&self, server: SocketAddr) -> Result<()> {
        let (ip, port) = (server.ip(), server.port());
        let mut rules = String::from("*filter\n");
        for chain in ["INPUT", "OUTPUT"] {
            for end in [format!("-s {ip} --sport {port}"), format!("-d {ip} --dport {port}")] {
                rules += &format!("-A {chain} -p tcp {end} -j DROP\n");
            }
        }
        rules += "COMMIT\n";
        let mut restore = command("ip")
            .args(["netns", "exec", &self.far.name, "iptables-restore", "-w", "--noflush"])
            .stdin(Stdio::piped())
            .spawn()?;
        restore.stdin.take().context("it was asked for")?.write_all(rules.as_bytes())?;
        ensure!(restore.wait()?.success(), "iptables-restore failed with\n{rules}");
        Ok(())
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        drop(Removed([self.near.name.clone(), self.far.name.clone()]));
    }
}

/// Removes namespaces when it is dropped; the wire goes with them.
struct Removed([String; 2]);

impl Drop for Removed {
    fn drop(&mut self) {
        for name in &self.0 {
            run("ip", &["netns", "del", name]).ok();
        }
    }
}

impl Host {
    fn new(name: String, addr: Ipv4Addr) -> Result<Self> {
        ip(&["-n", &name, "addr", "add", &format!("{addr}/30"), "dev", "eth0"])?;
        ip(&["-n", &name, "link", "set", "lo", "up"])?;
        ip(&["-n", &name, "link", "set", "eth0", "up"])?;
        let (done, entered) = mpsc::channel();
        let path = format!("/run/netns/{name}");
        thread::spawn(move || match enter(&path) {
            Ok(runtime) => {
                done.send(Ok(runtime.handle().clone())).ok();
                runtime.block_on(std::future::pending::<()>());
            }
            Err(error) => drop(done.send(Err(error))),
        });
        Ok(Self { name, addr, runtime: entered.recv()?? })
    }
}

/// Moves this thread into a namespace.
fn enter(path: &str) -> Result<tokio::runtime::Runtime> {
    let namespace = File::open(path).with_context(|| format!("cannot open {path}"))?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Removes what a process that was killed could not.
fn remove_left_over() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let rest = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('-'));
        let Some((process, _)) = rest.and_then(|rest| rest.split_once('-')) else { continue };
        if !fs::exists(format!("/proc/{process}")).unwrap_or(true) {
            run("ip", &["netns", "del", &name]).ok();
        }
    }
}

fn ip(args: &[&str]) -> Result<()> {
    run("ip", args)
}

fn run(name: &str, args: &[&str]) -> Result<()> {
    let output = command(name).args(args).output();
    let output = output.with_context(|| format!("cannot run {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} {}: {}", args.join(" "), said.trim());
    Ok(())
}

/// Returns a command that is also looked for where an administrator's are.
fn command(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin");
    command
}
