use http::Request;

use super::*;

fn guard(token: Option<&str>) -> Guard {
    Guard::new([10, 0, 0, 5].into(), vec!["ops.test".into()], token.map(Into::into))
}

#[track_caller]
fn check(guard: &Guard, headers: &[(&str, &str)], expected: Result<(), Refusal>) {
    let request = headers
        .iter()
        .fold(Request::builder().uri("/connections"), |r, (name, value)| r.header(*name, *value));
    let (request, ()) = request.body(()).unwrap().into_parts();
    let local = Some([192, 0, 2, 7].into());
    assert_eq!(guard.check(&request, local), expected, "{headers:?}");
}

#[test]
fn loopback_names_and_listed_ones_are_known() {
    for host in [
        "localhost",
        "LocalHost:8081",
        "127.0.0.1:8081",
        "127.9.9.9",
        "[::1]",
        "[::1]:8081",
        "ops.test:8081",
        "OPS.test",
        "10.0.0.5:8081",
        "192.0.2.7:8081",
        "[::ffff:192.0.2.7]:8081",
    ] {
        check(&guard(None), &[("host", host)], Ok(()));
    }
}

#[test]
fn other_names_are_refused() {
    for host in [
        "evil.test",
        "localhost.evil.test",
        "evil.test:8081",
        "10.0.0.6",
        "192.0.2.8",
        "192.0.2.7.evil.test",
        "127.0.0.1.evil.test",
        "[::2]",
        "::1",
        "localhost:80:80",
        "localhost:x",
        "",
        "127.1",
        "0.0.0.0",
    ] {
        check(&guard(None), &[("host", host)], Err(Refusal::Host));
    }
    check(&guard(None), &[], Err(Refusal::Host));
    check(&guard(None), &[("host", "localhost"), ("host", "a")], Err(Refusal::Malformed));
}

#[test]
fn the_host_in_the_target_counts_too() {
    let request =
        Request::builder().uri("http://evil.test/connections").header("host", "localhost");
    let (request, ()) = request.body(()).unwrap().into_parts();
    assert_eq!(guard(None).check(&request, None), Err(Refusal::Host));
}

#[test]
fn pages_of_other_sites_are_refused() {
    let host = ("host", "localhost:8081");
    check(&guard(None), &[host, ("origin", "http://localhost:8081")], Ok(()));
    for origin in ["http://localhost:8080", "http://evil.test", "null", "localhost:8081", ""] {
        check(&guard(None), &[host, ("origin", origin)], Err(Refusal::Origin));
    }
    for site in ["same-origin", "none"] {
        check(&guard(None), &[host, ("sec-fetch-site", site)], Ok(()));
    }
    for site in ["cross-site", "same-site"] {
        check(&guard(None), &[host, ("sec-fetch-site", site)], Err(Refusal::Origin));
    }
}

#[test]
fn a_token_is_asked_for_where_there_is_one() {
    let host = ("host", "localhost");
    let guard = guard(Some("open sesame"));
    check(&guard, &[host, ("authorization", "Bearer open sesame")], Ok(()));
    check(&guard, &[host, ("authorization", "bearer open sesame")], Ok(()));
    check(&guard, &[host], Err(Refusal::Token));
    for wrong in ["Bearer open", "Basic open sesame", "open sesame", "Bearer", "Bearer "] {
        check(&guard, &[host, ("authorization", wrong)], Err(Refusal::Token));
    }
}
