//! What a client does about each kind of answer to the upgrade.

use super::*;

#[tokio::test]
async fn garbage_is_tried_once_more_and_stops() {
    let garbage = say("SSH-2.0-OpenSSH_9.6\r\n\r\n");
    let (stop, states) = stops(vec![garbage.clone(), garbage]).await;
    assert_eq!(states, ["attempt 1", "attempt 2", "stopped"]);
    assert!(
        stop.to_string().starts_with("server's answer opens no websocket connection"),
        "{stop}"
    );
}

#[tokio::test]
async fn a_wrong_accept_value_is_tried_once_more_and_stops() {
    let wrong = say(&OPEN.replace("ACCEPT", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let (stop, states) = stops(vec![wrong.clone(), wrong]).await;
    assert_eq!(states, ["attempt 1", "attempt 2", "stopped"]);
    assert!(stop.to_string().contains("sec-websocket-accept"), "{stop}");
}

#[tokio::test]
async fn a_redirect_that_is_not_followed_stops() {
    let moved = "HTTP/1.1 302 Found\r\nLocation: ws://elsewhere.test/\r\nContent-Length: 0\r\n\r\n";
    let (stop, states) = stops(vec![say(moved)]).await;
    assert_eq!((status(&stop), states), (Some(302), vec!["attempt 1".into(), "stopped".into()]));
}

const CHALLENGE: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"live\"\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn a_challenge_stops_where_nobody_can_give_another_token() {
    let (stop, states) = stops(vec![say(CHALLENGE)]).await;
    assert_eq!((status(&stop), states), (Some(401), vec!["attempt 1".into(), "stopped".into()]));
}

#[tokio::test]
async fn a_challenge_is_answered_with_one_new_token() {
    let (url, heads) = script(vec![say(CHALLENGE), open_with(&[])]).await;
    let token = |info: everwire::reconnect::AttemptInfo| async move {
        Ok(if info.refresh_token { "new" } else { "old" }.into())
    };
    let client = builder(&url).token(token).start();
    assert_eq!(soon(client.open()).await.unwrap(), 1);
    let tokens: Vec<_> =
        heads.lock().unwrap().iter().map(|head| field(head, "authorization")).collect();
    assert_eq!(tokens, ["Bearer old", "Bearer new"]);

    let (url, heads) = script(vec![say(CHALLENGE), say(CHALLENGE), open_with(&[])]).await;
    let stop = soon(builder(&url).token(token).start().stopped()).await;
    assert_eq!((status(&stop), heads.lock().unwrap().len()), (Some(401), 2));
}

/// Returns how long the client waits after this answer.
async fn delay_after(answer: &str) -> Duration {
    let (url, _) = script(vec![say(answer)]).await;
    let (sender, mut delays) = mpsc::unbounded_channel();
    let client = builder(&url).on_state(move |state| {
        if let State::Connecting { attempt: 2, delay, .. } = state {
            sender.send(*delay).ok();
        }
    });
    let _client = client.start();
    soon(delays.recv()).await.unwrap()
}

#[tokio::test]
async fn trap_25_retry_after_is_obeyed_in_both_forms_with_a_spread() {
    let answer = |value: String| {
        format!(
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let delay = delay_after(&answer("40".into())).await;
    assert!((40..=44).contains(&delay.as_secs()), "{delay:?}");
    let at = SystemTime::now() + Duration::from_secs(100);
    let delay = delay_after(&answer(httpdate::fmt_http_date(at))).await;
    assert!((90..=110).contains(&delay.as_secs()), "{delay:?}");
    let delay = delay_after(&answer("99999999999".into())).await;
    assert!((3600..=7200).contains(&delay.as_secs()), "{delay:?}");
    let delay = delay_after(&answer("in a while".into())).await;
    assert!(delay < Duration::from_millis(10), "{delay:?}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_tried_again() {
    let (url, heads) = script(vec![Step::Keep(Vec::new()), say(""), open_with(&[])]).await;
    let notes = Notes::default();
    let mut policy = quick();
    policy.attempt_max = Duration::from_millis(300);
    let lasts = notes.clone();
    let client = audited(builder(&url).policy(policy), &notes).headers(move |info| {
        lasts.add(info.last.map_or("first".into(), |last| format!("after: {last}")));
        async { Ok(http::HeaderMap::new()) }
    });
    let client = client.start();
    soon(client.open()).await.unwrap();
    let expected = [
        "attempt 1",
        "first",
        "attempt 2",
        "after: timed out after 300ms in the opening handshake",
        "attempt 3",
        "after: server closed the connection without an answer: expected a response with status 101",
        "open, connection 1",
    ];
    assert_eq!(notes.all(), expected);
    assert_eq!(heads.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn other_statuses_stop_unless_a_function_of_ones_own_says_otherwise() {
    const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let (stop, _) = stops(vec![say(NOT_FOUND)]).await;
    assert_eq!(status(&stop), Some(404));

    let (url, _) = script(vec![say(NOT_FOUND), say(NOT_FOUND), open_with(&[])]).await;
    let client = builder(&url).retry(|ending| match ending.status() {
        Some(http::StatusCode::NOT_FOUND) => Retry::Now,
        _ => ending.retry(),
    });
    soon(client.start().open()).await.unwrap();
}

#[tokio::test]
async fn an_unreachable_server_is_tried_until_it_is_there() {
    let addr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let notes = Notes::default();
    let client = audited(builder(&format!("ws://{addr}/")), &notes).start();
    notes.until(4).await;
    let server = Server::builder().bind(addr.to_string()).pull("/", echo).start().await.unwrap();
    soon(client.open()).await.unwrap();
    assert!(!notes.all().concat().contains("ILLEGAL"), "{:?}", notes.all());
    drop(server);
}
