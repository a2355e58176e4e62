//! URLs without the secrets in them.

/// What the name of a parameter or a header that carries a secret contains.
const WORDS: [&str; 11] = [
    "auth",
    "token",
    "secret",
    "key",
    "pass",
    "pwd",
    "session",
    "ticket",
    "jwt",
    "signature",
    "credential",
];

/// Names of parameters that carry a secret and are too short to be looked for in others.
const NAMES: [&str; 6] = ["code", "pw", "sid", "sig", "otp", "pin"];

/// Returns whether a thing of this name is likely to be a secret.
pub(super) fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word)) || NAMES.contains(&&*name)
}

/// Returns a URL, or a part of one, without its password and the values of those parameters that
/// sound like secrets.
pub(crate) fn masked(url: &str) -> String {
    let (url, fragment) = split(url, '#');
    let (url, query) = split(url, '?');
    let query = query.map(|query| format!("?{}", masked_pairs(query)));
    // An OAuth answer may carry its token there.
    let fragment = fragment.map(|fragment| format!("#{}", masked_pairs(fragment)));
    [masked_userinfo(url), query.unwrap_or_default(), fragment.unwrap_or_default()].concat()
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

fn masked_userinfo(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("//") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}//***@{host}{path}"),
        None => url.to_owned(),
    }
}

fn masked_pairs(pairs: &str) -> String {
    let mask = |pair: &str| match pair.split_once('=') {
        Some((name, value)) if !value.is_empty() && sounds_secret(&decoded(name)) => {
            format!("{name}=***")
        }
        _ => pair.to_owned(),
    };
    let parts = pairs.split_inclusive(['&', ';']).map(|part| {
        let pair = part.trim_end_matches(['&', ';']);
        mask(pair) + &part[pair.len()..]
    });
    parts.collect()
}

/// Returns the name of a parameter as the server reads it.
fn decoded(name: &str) -> String {
    let mut pairs = form_urlencoded::parse(name.as_bytes());
    pairs.next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        assert_eq!(masked(url), expected);
    }

    #[test]
    fn values_that_sound_secret_are_masked() {
        check("/echo?x=y&token=hunter2&z", "/echo?x=y&token=***&z");
        check("/?access_token=a=b&API-Key=c", "/?access_token=***&API-Key=***");
        check("/?ticket=1;X-Amz-Signature=2", "/?ticket=***;X-Amz-Signature=***");
        check("/?code=1&encoding=2&sig=3&signal=4", "/?code=***&encoding=2&sig=***&signal=4");
        check("/?t%6Fken=1&%74oken=2", "/?t%6Fken=***&%74oken=***");
        check("/#id_token=1&state=x", "/#id_token=***&state=x");
        check("/?token=&token&x=?", "/?token=&token&x=?");
    }

    #[test]
    fn user_and_password_are_masked() {
        check("wss://u:p@h.test:1/a@b?key=1", "wss://***@h.test:1/a@b?key=***");
        check("//u:p@q@h.test", "//***@h.test");
        check("https://h.test/?next=//u@v", "https://h.test/?next=//u@v");
    }

    #[test]
    fn all_else_stays_as_it_is() {
        for url in ["", "/", "/a?b=c&d=e", "wss://h.test/path;v=1?room=1#top", "?&&=;"] {
            check(url, url);
        }
    }
}
