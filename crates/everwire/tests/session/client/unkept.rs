//! Sessions that the server does not keep without a connection.

use std::time::Duration;

use everwire::session::{SessionConfig, Sessions};
use everwire_testkit::Cut;

use super::{client, hear, proxied};
use crate::echo;

#[tokio::test]
async fn a_session_that_is_not_kept_is_lost_with_its_connection_and_the_next_is_whole() {
    let mut config = SessionConfig::server();
    config.terms.ttl_limit = Duration::ZERO;
    let (_server, url, notes, sessions) = echo(Sessions::builder().config(config)).await;
    let (proxy, url) = proxied(&url).await;
    let mut client = client(&url);
    for round in 0..3 {
        assert_eq!(hear(&mut client).await, "attached");
        let text = format!("in round {round}");
        client.send(text.as_str()).await.unwrap();
        assert_eq!(hear(&mut client).await, text);
        if round < 2 {
            proxy.cut(Cut::Reset);
            assert_eq!(hear(&mut client).await, "detached");
            // Its acknowledgement may have come.
            let lost = hear(&mut client).await;
            assert!(lost == format!("lost [{text}]") || lost == "lost []", "{lost}");
        }
    }
    assert_eq!(sessions.stats().opened, 3);
    let heard: Vec<_> = notes.all().into_iter().filter(|it| it.starts_with("in round")).collect();
    assert_eq!(heard, ["in round 0", "in round 1", "in round 2"]);
}
