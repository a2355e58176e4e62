//! Messages of which only the newest of each key is wanted.

use everwire::session::{Prepared, Sessions};

use crate::{
    echo,
    visitor::{Form, Visitor},
};

#[tokio::test]
async fn who_was_away_hears_the_newest_of_each_key() {
    let (_server, url, notes, sessions) = echo(Sessions::builder()).await;
    let mut visitor = Visitor::new(&url);
    visitor.connect(Form::Inline).await;
    assert_eq!(visitor.hear().await, "opened");
    let session = sessions.all().remove(0);
    let tell = |key, text: &str| session.send_latest(key, Prepared::text(text)).unwrap();
    tell(1, "one at 10");
    assert_eq!(visitor.hear().await, "one at 10");
    visitor.cut();
    notes.until(2).await;
    for cents in 11..=1_000 {
        tell(1, &format!("one at {cents}"));
        tell(2, &format!("two at {cents}"));
    }
    session.send_text("the market has closed").unwrap();
    // The first may not have been acknowledged.
    assert!(session.buffered().1 <= 4, "{:?}", session.buffered());
    visitor.connect(Form::Header).await;
    assert_eq!(visitor.hear().await, "resumed");
    assert_eq!(visitor.hear().await, "the market has closed");
    assert_eq!(visitor.hear().await, "one at 1000");
    assert_eq!(visitor.hear().await, "two at 1000");
}
