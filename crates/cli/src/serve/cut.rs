//! `POST /cut`: a page has its own connections cut, to see them come back.
//!
//! A page gives its connections a name that only it knows, a random one, as `?page=NAME`. By that
//! name it can have them cut, and its next attempts refused for a while; nobody else can.

use std::{
    collections::HashMap,
    future::{Future, ready},
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use everwire::{Accept, Decision, Registry, Reject, UpgradeRequest};
use http::StatusCode;

use super::reply::{Reply, json, text};
use crate::period::Period;

/// For how long attempts may be refused at most.
const LONGEST: Duration = Duration::from_secs(60);
/// How many pages may be kept away at a time.
const MAX_PAGES: usize = 1000;
/// How many of one address: nobody takes the place of all others.
const MAX_PAGES_PER_ADDRESS: usize = 100;

/// What pages have asked for. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Cuts(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    registry: OnceLock<Registry>,
    /// The pages whose attempts are refused.
    away: Mutex<HashMap<String, Away>>,
}

/// Until when a page is away, and whose it is: nobody's on a Unix socket.
#[derive(Debug)]
struct Away {
    until: Instant,
    ip: Option<IpAddr>,
}

impl Cuts {
    /// Names the connections that can be cut.
    pub(super) fn set_registry(&self, registry: &Registry) {
        self.0.registry.set(registry.clone()).ok();
    }

    /// Decides on a connection: one of a page that is to be kept away is refused.
    pub(super) fn authorize<'a>(
        &self,
        request: &'a UpgradeRequest,
    ) -> Pin<Box<dyn Future<Output = Decision> + Send + 'a>> {
        Box::pin(ready(self.decide(request.query().unwrap_or_default(), Instant::now())))
    }

    fn decide(&self, query: &str, now: Instant) -> Decision {
        let Some(page) = parameter(query, "page").filter(|page| is_name(page)) else {
            return Ok(Accept::new());
        };
        match self.away().get(&page).and_then(|away| away.until.checked_duration_since(now)) {
            Some(left) if !left.is_zero() => Err(Reject::unavailable(left)),
            _ => Ok(Accept::new().tag(tag(&page))),
        }
    }

    /// Cuts what the query names, and keeps it away for as long as the query says. `ip` asks for it.
    pub(super) fn answer(&self, query: &str, ip: Option<IpAddr>) -> Reply {
        self.cut(query, ip, Instant::now())
            .unwrap_or_else(|problem| text(StatusCode::BAD_REQUEST, format!("{problem}\n")))
    }

    fn cut(&self, query: &str, ip: Option<IpAddr>, now: Instant) -> Result<Reply, &'static str> {
        let page = parameter(query, "page").filter(|page| is_name(page));
        let page = page.ok_or("expected page= and 16 to 64 letters, digits or hyphens")?;
        let period = match parameter(query, "for") {
            None => Duration::ZERO,
            Some(period) => {
                let period = period.parse().ok().map(|Period(period)| period);
                period.filter(|it| *it <= LONGEST).ok_or("expected for= and 60s at most")?
            }
        };
        // Before its connections are gone, so that none slips in between.
        let is_kept_away = period.is_zero() || self.keep_away(&page, ip, now, now + period);
        let connections = self.0.registry.get().map(|it| it.tagged(&tag(&page)));
        let connections = connections.unwrap_or_default();
        connections.iter().for_each(everwire::Sender::abort);
        if !is_kept_away {
            let problem = "cut, but too many pages are away for another\n";
            return Ok(text(StatusCode::SERVICE_UNAVAILABLE, problem));
        }
        let answer =
            serde_json::json!({ "cut": connections.len(), "for_ms": period.as_millis() as u64 });
        Ok(json(StatusCode::OK, &answer))
    }

    /// Refuses a page's attempts until then, unless too many are refused already.
    fn keep_away(&self, page: &str, ip: Option<IpAddr>, now: Instant, until: Instant) -> bool {
        let mut away = self.away();
        away.retain(|_, away| away.until > now);
        if let Some(away) = away.get_mut(page) {
            away.until = until;
            return true;
        }
        let of_address = away.values().filter(|away| away.ip == ip).count();
        let has_room = away.len() < MAX_PAGES && of_address < MAX_PAGES_PER_ADDRESS;
        if has_room {
            away.insert(page.to_owned(), Away { until, ip });
        }
        has_room
    }

    fn away(&self) -> std::sync::MutexGuard<'_, HashMap<String, Away>> {
        self.0.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut parameters = form_urlencoded::parse(query.as_bytes());
    parameters.find(|(it, _)| it == name).map(|(_, value)| value.into_owned())
}

/// Returns whether a page may be called this: a name that is shorter could be guessed.
fn is_name(name: &str) -> bool {
    (16..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn tag(page: &str) -> String {
    format!("page {page}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "page=0123456789abcdef";

    #[test]
    fn a_page_is_kept_away_as_long_as_it_asked_for_and_no_other() {
        let (cuts, now) = (Cuts::default(), Instant::now());
        assert!(cuts.decide(PAGE, now).is_ok());
        cuts.cut(&format!("{PAGE}&for=20s"), None, now).unwrap();
        assert!(cuts.decide(PAGE, now + Duration::from_secs(19)).is_err());
        assert!(cuts.decide(PAGE, now + Duration::from_secs(20)).is_ok());
        for other in ["page=fedcba9876543210", "", "page=", "x=0123456789abcdef"] {
            assert!(cuts.decide(other, now).is_ok(), "{other}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for query in [
            "",
            "page=short",
            "page=0123456789abcde%20",
            &format!("{PAGE}&for=61s"),
            &format!("{PAGE}&for=soon"),
            &format!("page={}", "x".repeat(65)),
        ] {
            let reply = Cuts::default().answer(query, None);
            assert_eq!(reply.status(), StatusCode::BAD_REQUEST, "{query}");
        }
    }

    /// Has a page kept away for a minute, on behalf of this address.
    fn status(cuts: &Cuts, n: usize, address: usize, now: Instant) -> StatusCode {
        let ip = IpAddr::from([127, 0, 0, u8::try_from(address).unwrap()]);
        let query = format!("page=0123456789ab{n:04}&for=60s");
        cuts.cut(&query, Some(ip), now).unwrap().status()
    }

    #[test]
    fn no_more_pages_are_away_than_may_be() {
        let (cuts, now) = (Cuts::default(), Instant::now());
        let full = StatusCode::SERVICE_UNAVAILABLE;
        for n in 0..MAX_PAGES {
            assert_eq!(status(&cuts, n, n / MAX_PAGES_PER_ADDRESS, now), StatusCode::OK);
        }
        assert_eq!(status(&cuts, MAX_PAGES, 200, now), full);
        // Those whose time is over make room.
        assert_eq!(status(&cuts, MAX_PAGES, 200, now + LONGEST), StatusCode::OK);
    }

    #[test]
    fn one_address_leaves_room_for_others_and_a_page_may_stay_away_for_longer() {
        let (cuts, now) = (Cuts::default(), Instant::now());
        for n in 0..MAX_PAGES_PER_ADDRESS {
            assert_eq!(status(&cuts, n, 1, now), StatusCode::OK);
        }
        assert_eq!(status(&cuts, 5000, 1, now), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status(&cuts, 5000, 2, now), StatusCode::OK);
        let later = now + LONGEST / 2;
        assert_eq!(status(&cuts, 0, 1, later), StatusCode::OK);
        assert!(cuts.decide("page=0123456789ab0000", now + LONGEST).is_err());
    }
}
