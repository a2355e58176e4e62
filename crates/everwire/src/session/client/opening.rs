//! One attempt of a client to open a connection that speaks `everwire.v1`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use everwire_session::{HEADER_NAME, Hello, SUBPROTOCOL};
use futures_util::future::try_join_all;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Setup, link::Link};
use crate::{
    ConnectError, WebSocket,
    client::sent_to,
    clock,
    dial::Target,
    reconnect::{AttemptError, AttemptInfo, Provider, guarded},
};

/// A HELLO has 2,048 bytes at most, and a token and numbers are among them.
const TICKET_LIMIT: usize = 1600;

/// A connection that selected `everwire.v1`.
pub(super) struct Opened {
    pub(super) ws: WebSocket,
    /// The attempt whose HELLO was in the request.
    pub(super) said: Option<u64>,
    /// How long connecting took.
    pub(super) took: Duration,
    pub(super) way: Box<Way>,
}

/// Where an attempt leads.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// Where the application wants to go: what it gives us is meant for that host.
    home: Target,
    at: Target,
}

/// Where a server sent us.
#[derive(Clone, Debug)]
pub(super) struct Place {
    url: String,
    /// How we came to that server.
    from: Way,
}

/// What an attempt is made with.
pub(super) struct Asked {
    pub(super) info: AttemptInfo,
    pub(super) timeout: Duration,
    /// Where the server sent us.
    pub(super) place: Option<Place>,
    /// Whether the HELLO may travel in the request: no other connection carries the session.
    pub(super) early: bool,
}

/// Asks the providers and connects.
pub(super) async fn open(
    setup: Arc<Setup>,
    link: Arc<Link>,
    asked: Asked,
) -> Result<Opened, AttemptError> {
    let info = &asked.info;
    let place = asked.place.as_ref();
    let (way, headers, ticket) =
        tokio::join!(way(&setup, info, place), headers(&setup, info), ticket(&setup, info));
    let (way, client) = (way?, setup.client.clone().connect_timeout(asked.timeout));
    let client = client.replace_headers(headers?);
    let (mut client, is_home) = client.led_to(&way.home, way.at.clone());
    if let Some(ticket) = ticket? {
        link.act(|session, _| session.set_ticket(ticket));
    }
    // On its way to a place that another server names, a secret does not stand in a header.
    let early = asked.early && setup.early && is_home && !setup.client.follows_redirects();
    let mut said = None;
    if early {
        let Some(attempt) = link.hello_in_request() else { return std::future::pending().await };
        setup.save(&link);
        let mut value = HeaderValue::try_from(Hello::base64(&attempt.hello))
            .expect("base64url has no characters that a header must not have");
        value.set_sensitive(true);
        let name = HeaderName::try_from(HEADER_NAME).expect("it is the name of a header");
        client = client.replace_headers(HeaderMap::from_iter([(name, value)]));
        said = Some(attempt.number);
    }
    let begun = clock::now();
    let opened = client.connect_telling().await.map_err(AttemptError::Connect).and_then(|ws| {
        match ws.subprotocol() {
            Some(SUBPROTOCOL) => Ok(ws),
            other => Err(AttemptError::NoSessions { selected: other.map(str::to_owned) }),
        }
    });
    match (opened, said) {
        (Ok(ws), said) => Ok(Opened {
            ws,
            said,
            took: clock::now().saturating_duration_since(begun),
            way: Box::new(way),
        }),
        (Err(error), said) => {
            said.into_iter().for_each(|attempt| link.closed(attempt, None));
            Err(error)
        }
    }
}

/// Asks for a ticket, if there is a provider.
pub(super) async fn ticket(
    setup: &Setup,
    info: &AttemptInfo,
) -> Result<Option<Bytes>, AttemptError> {
    let Some(provider) = &setup.ticket else { return Ok(None) };
    let ticket = guarded(setup.provider_timeout, || provider(info.clone())).await;
    let ticket = ticket.and_then(|ticket| match ticket.len() {
        0..=TICKET_LIMIT => Ok(Some(ticket)),
        len => Err(format!("ticket of {len} bytes exceeds the limit of {TICKET_LIMIT}").into()),
    });
    ticket.map_err(AttemptError::Ticket)
}

async fn way(
    setup: &Setup,
    info: &AttemptInfo,
    place: Option<&Place>,
) -> Result<Way, AttemptError> {
    let home = match (place, &setup.url) {
        (Some(place), _) => return place.way().map_err(AttemptError::Connect),
        (None, Some(provider)) => {
            let url = guarded(setup.provider_timeout, || provider(info.clone())).await;
            url.and_then(|url| Ok(Target::parse(&url)?)).map_err(AttemptError::Url)?
        }
        (None, None) => setup.client.target().clone(),
    };
    Ok(Way { at: home.clone(), home })
}

impl Way {
    /// Returns the place at `url`, which the server at the end of this way named.
    pub(super) fn place(&self, url: String) -> Place {
        Place { url, from: self.clone() }
    }
}

impl Place {
    /// Returns the way there.
    ///
    /// # Errors
    /// It is no URL, or leads from `wss` to `ws`.
    fn way(&self) -> Result<Way, ConnectError> {
        let Self { url, from } = self;
        let at = sent_to(&from.at, url)?;
        Ok(Way { home: from.home.clone(), at })
    }
}

async fn headers(setup: &Setup, info: &AttemptInfo) -> Result<HeaderMap, AttemptError> {
    let ask = |provider: &Provider<HeaderMap>| {
        let (provider, info) = (provider.clone(), info.clone());
        guarded(setup.provider_timeout, move || provider(info))
    };
    let all = try_join_all(setup.headers.iter().map(ask)).await.map_err(AttemptError::Headers)?;
    let mut merged = HeaderMap::new();
    all.into_iter().for_each(|headers| merged.extend(headers));
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_server_leads_from_wss_to_ws() {
        let home = Target::parse("wss://a/").unwrap();
        let way = Way { at: home.clone(), home };
        let lead = |url: &str| way.place(url.to_owned()).way();
        assert_eq!(lead("wss://b/").unwrap().at.to_string(), "wss://b/");
        for bad in ["ws://b/", "http://a/", "ftp://b/"] {
            let error = lead(bad).unwrap_err().to_string();
            assert!(error.starts_with("server redirects "), "{bad}: {error}");
        }
        // Nor by way of another.
        let further = lead("wss://b/").unwrap().place("ws://a/".to_owned()).way();
        assert!(matches!(further, Err(ConnectError::InsecureRedirect { .. })), "{further:?}");
    }
}
