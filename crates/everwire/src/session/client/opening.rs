//! One attempt of a client to open a connection that speaks `everwire.v1`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use everwire_session::{HEADER_NAME, Hello, SUBPROTOCOL};
use futures_util::future::try_join_all;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Setup, link::Link};
use crate::{
    WebSocket,
    client::sent_to,
    clock,
    dial::Target,
    reconnect::{AttemptError, AttemptInfo, BoxError, Provider, guarded},
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
}

/// What an attempt is made with.
pub(super) struct Asked {
    pub(super) info: AttemptInfo,
    pub(super) timeout: Duration,
    /// Where the server sent us.
    pub(super) place: Option<String>,
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
    let place = asked.place.as_deref();
    let (target, headers, ticket) =
        tokio::join!(target(&setup, info, place), headers(&setup, info), ticket(&setup, info));
    let mut client = setup.client.clone().connect_timeout(asked.timeout);
    client = client.replace_headers(headers?);
    if let Some(target) = target? {
        client = client.at(target);
    }
    if let Some(ticket) = ticket? {
        link.act(|session, _| session.set_ticket(ticket));
    }
    // On its way to a place that another server names, a secret does not stand in a header.
    let early = asked.early && setup.early && !setup.client.follows_redirects();
    let mut said = None;
    if early {
        let Some(attempt) = link.hello() else { return std::future::pending().await };
        setup.save(&link);
        let mut value = HeaderValue::try_from(Hello::base64(&attempt.hello))
            .expect("base64url has no characters that a header must not have");
        value.set_sensitive(true);
        let name = HeaderName::try_from(HEADER_NAME).expect("it is the name of a header");
        client = client.replace_headers(HeaderMap::from_iter([(name, value)]));
        said = Some(attempt.number);
    }
    let begun = clock::now();
    let opened = client.connect().await.map_err(AttemptError::Connect).and_then(|ws| {
        match ws.subprotocol() {
            Some(SUBPROTOCOL) => Ok(ws),
            other => Err(AttemptError::NoSessions { selected: other.map(str::to_owned) }),
        }
    });
    match (opened, said) {
        (Ok(ws), said) => {
            Ok(Opened { ws, said, took: clock::now().saturating_duration_since(begun) })
        }
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

async fn target(
    setup: &Setup,
    info: &AttemptInfo,
    place: Option<&str>,
) -> Result<Option<Target>, AttemptError> {
    let target = match (place, &setup.url) {
        // Never from wss to ws: the token would go there in the open.
        (Some(place), _) => sent_to(setup.client.target(), place).map_err(BoxError::from),
        (None, Some(provider)) => {
            let url = guarded(setup.provider_timeout, || provider(info.clone())).await;
            url.and_then(|url| Ok(Target::parse(&url)?))
        }
        (None, None) => return Ok(None),
    };
    target.map(Some).map_err(AttemptError::Url)
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
