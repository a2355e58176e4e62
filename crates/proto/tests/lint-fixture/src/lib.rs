//! Every use that `../../clippy.toml` forbids, once. Never run.
#![allow(unused, unreachable_code)]

fn method_1() {
    let _ = std::time::Instant::now();
}

fn method_2(at: &std::time::Instant) {
    let _ = std::time::Instant::elapsed(at);
}

fn method_3() {
    let _ = std::time::SystemTime::now();
}

fn method_4(at: &std::time::SystemTime) {
    let _ = std::time::SystemTime::elapsed(at);
}

fn method_5() {
    let _ = std::thread::spawn(|| ());
}

fn method_6() {
    let _ = std::thread::scope(|_| ());
}

fn method_7() {
    let _ = std::thread::sleep(std::time::Duration::ZERO);
}

fn method_8() {
    let _ = std::thread::park();
}

fn method_9() {
    let _ = std::thread::park_timeout(std::time::Duration::ZERO);
}

fn method_10() {
    let _ = std::thread::yield_now();
}

fn method_11() {
    let _ = std::fs::read("a");
}

fn method_12() {
    let _ = std::fs::read_to_string("a");
}

fn method_13() {
    let _ = std::fs::write("a", "b");
}

fn method_14() {
    let _ = std::fs::read_dir("a");
}

fn method_15() {
    let _ = std::fs::metadata("a");
}

fn method_16() {
    let _ = std::fs::create_dir("a");
}

fn method_17() {
    let _ = std::fs::create_dir_all("a");
}

fn method_18() {
    let _ = std::fs::remove_file("a");
}

fn method_19() {
    let _ = std::fs::remove_dir_all("a");
}

fn method_20() {
    let _ = std::fs::rename("a", "b");
}

fn method_21() {
    let _ = std::fs::copy("a", "b");
}

fn method_22() {
    let _ = std::io::stdin();
}

fn method_23() {
    let _ = std::io::stdout();
}

fn method_24() {
    let _ = std::io::stderr();
}

fn method_25() {
    let _ = std::env::var("A");
}

fn method_26() {
    let _ = std::env::var_os("A");
}

fn method_27() {
    let _ = std::env::vars();
}

fn method_28() {
    let _ = std::env::args();
}

fn method_29() {
    let _ = std::env::current_dir();
}

fn method_30() {
    let _ = std::process::exit(1);
}

fn method_31() {
    let _ = std::process::abort();
}

fn method_32() {
    let _ = std::process::id();
}

fn type_33(_: &std::net::TcpStream) {}

fn type_34(_: &std::net::TcpListener) {}

fn type_35(_: &std::net::UdpSocket) {}

fn type_36(_: &std::os::unix::net::UnixStream) {}

fn type_37(_: &std::os::unix::net::UnixListener) {}

fn type_38(_: &std::os::unix::net::UnixDatagram) {}

fn type_39(_: &std::fs::File) {}

fn type_40(_: &std::fs::OpenOptions) {}

fn type_41(_: &std::process::Command) {}

fn type_42(_: &std::thread::Builder) {}

fn type_43(_: &std::thread::JoinHandle<u8>) {}

fn type_44(_: &std::sync::Mutex<u8>) {}

fn type_45(_: &std::sync::RwLock<u8>) {}

fn type_46(_: &std::sync::Condvar) {}

fn type_47(_: &std::sync::Barrier) {}

fn type_48(_: &std::sync::Once) {}

fn type_49(_: &std::sync::OnceLock<u8>) {}

fn type_50(_: &std::sync::LazyLock<u8>) {}

fn type_51(_: &std::sync::mpsc::Sender<u8>) {}

fn type_52(_: &std::sync::mpsc::SyncSender<u8>) {}

fn type_53(_: &std::sync::mpsc::Receiver<u8>) {}

fn type_54(_: &std::hash::RandomState) {}

fn macro_55() {
    std::print!("a");
}

fn macro_56() {
    std::println!("a");
}

fn macro_57() {
    std::eprint!("a");
}

fn macro_58() {
    std::eprintln!("a");
}
