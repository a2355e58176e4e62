//! Who shows which token: what a client sees of it, and that nobody else is disturbed.

mod scene;

use std::time::Duration;

use bytes::Bytes;
use everwire_session::{
    ClientSession, Code, Config, EndedBy, Event, Frame, Reauthentication, Status, Transmit, Welcome,
};
use scene::{Scene, ack, hello, status_of, token_of, welcome};

/// What a client hears from its HELLO to its goodbye.
type Transcript = Vec<Vec<Transmit>>;

/// Has somebody who shows a token begin, say something, and go; `prepare` is what became of the session of
/// alice before, and returns the token, of the three that she had, in their order.
fn told(
    who: &'static str,
    prepare: impl FnOnce(&mut Scene, usize, [Bytes; 3]) -> Bytes,
) -> Transcript {
    let mut scene = Scene::new();
    let (mut socket, first) = scene.attached("alice");
    let mut tokens = vec![first];
    for attempt in 2..=3 {
        let (next, answer) =
            scene.hello(&hello(attempt, "alice", tokens[tokens.len() - 1].clone()));
        tokens.push(token_of(&answer));
        assert_eq!(scene.say(next, &ack(0, 0)), []);
        socket = next;
    }
    let tokens = tokens.try_into().expect("there are three");
    let token = prepare(&mut scene, socket, tokens);
    let mut shown = hello(9, who, token);
    (shown.recv, shown.lo, shown.next) = (7, 2, 9);
    let (socket, answer) = scene.hello(&shown);
    assert_eq!(status_of(&answer), Status::Lost);
    let mut transcript = vec![answer, scene.say(socket, &ack(0, 0))];
    let payload = Bytes::from_static(b"hello");
    let kind = everwire_session::Kind::Text;
    transcript.push(scene.say(socket, &Frame::Data { kind, volatile: false, payload }));
    scene.now += Duration::from_secs(1);
    scene.host.handle_timeout(scene.now);
    transcript.push(scene.heard(socket));
    let counts = everwire_session::Counts { sent: 1, ..Default::default() };
    let (code, reason) = (Code::NORMAL, String::new());
    transcript.push(scene.say(socket, &Frame::Bye { reply: false, code, counts, reason }));
    scene.now += Duration::from_secs(5);
    scene.host.handle_timeout(scene.now);
    transcript.push(scene.heard(socket));
    scene.assert_undisturbed();
    transcript
}

fn with_flipped(token: &Bytes, at: usize) -> Bytes {
    let mut token = token.to_vec();
    token[at] ^= 1;
    token.into()
}

/// Random bytes are the same in every scene, so the answers may be compared byte for byte.
#[test]
fn tokens_that_resume_nothing_are_answered_alike_to_the_last_byte() {
    let forged = told("alice", |_, _, [.., token]| with_flipped(&token, 47));
    let [welcome, confirmed, _, said, bye, closed] = &forged[..] else { panic!("{forged:?}") };
    assert!(welcome.len() == 1 && confirmed.is_empty() && bye.len() == 1);
    assert!(matches!(&said[..], [Transmit::Frame(ack)] if ack[0] == 0x20), "{said:?}");
    assert_eq!(closed[..], [Transmit::Close(Code::NORMAL)]);
    let ended = |scene: &mut Scene, token: Bytes| {
        let alice = scene.host.sessions().into_iter().find(|id| *id != scene.peaceful.1);
        let session = alice.and_then(|id| scene.host.session(id)).expect("it is there");
        session.borrow_mut().end(Code::ENDED, "thrown out");
        scene.host.settle(scene.now);
        token
    };
    let others = [
        ("no such session", told("alice", |_, _, [.., token]| with_flipped(&token, 0))),
        ("too short", told("alice", |_, _, _| Bytes::from_static(b"x"))),
        ("too long", told("alice", |_, _, _| Bytes::from_static(&[7; 255]))),
        ("of another", told("mallory", |_, _, [.., token]| token)),
        ("replaced twice", told("alice", |_, _, [token, ..]| token)),
        ("replaced, of another", told("mallory", |_, _, [_, token, _]| token)),
        ("of another that was ended", told("mallory", |scene, _, [.., t]| ended(scene, t))),
        (
            "forged, of one that was ended",
            told("alice", |scene, _, [.., token]| with_flipped(&ended(scene, token), 47)),
        ),
        (
            "expired",
            told("alice", |scene, socket, [.., token]| {
                scene.host.handle_closed(scene.now, socket);
                for _ in 0..9 {
                    scene.now += Duration::from_secs(7);
                    scene.host.handle_timeout(scene.now);
                    let (bob, _) = scene.peaceful;
                    scene.say(bob, &ack(0, 0));
                    scene.heard(bob);
                }
                assert_eq!(scene.host.sessions().len(), 1);
                token
            }),
        ),
    ];
    for (what, transcript) in others {
        assert_eq!(transcript, forged, "{what}");
    }
}

#[test]
fn no_such_token_has_touched_the_session() {
    let mut scene = Scene::new();
    let (_, token) = scene.attached("alice");
    let mut forged = token.to_vec();
    forged[47] ^= 1;
    let mut unknown = token.to_vec();
    unknown[0] ^= 1;
    for (who, token) in [
        ("alice", Bytes::from(forged)),
        ("alice", Bytes::from(unknown)),
        ("mallory", token.clone()),
        ("alice", Bytes::from_static(b"x")),
    ] {
        let (_, answer) = scene.hello(&hello(9, who, token));
        assert_eq!(status_of(&answer), Status::Lost);
        assert_eq!(answer.len(), 1);
    }
    // None of them has touched the session.
    let (_, answer) = scene.hello(&hello(2, "alice", token));
    assert_eq!(status_of(&answer), Status::Resumed);
    scene.assert_undisturbed();
}

#[test]
fn a_replayed_hello_is_stale() {
    let mut scene = Scene::new();
    let (_, token) = scene.attached("alice");
    let recorded = hello(2, "alice", token);
    let (socket, _) = scene.hello(&recorded);
    scene.say(socket, &ack(0, 0));
    let (_, answer) = scene.hello(&recorded);
    assert_eq!(welcome(&answer), Some(Welcome::Stale));
    assert_eq!(answer[1..], [Transmit::Close(Code::SUPERSEDED)]);
    assert_eq!(scene.say(socket, &ack(0, 0)), [], "the socket is still attached");
    scene.assert_undisturbed();
}

#[test]
fn an_old_token_with_a_new_attempt_is_stale_and_told() {
    let mut scene = Scene::new();
    let (_, token) = scene.attached("alice");
    let (socket, _) = scene.hello(&hello(2, "alice", token.clone()));
    scene.say(socket, &ack(0, 0));
    let (_, answer) = scene.hello(&hello(3, "alice", token));
    assert_eq!(welcome(&answer), Some(Welcome::Stale));
    let mut events = std::iter::from_fn(|| scene.host.poll_event(scene.now));
    assert!(events.any(|(_, event)| event == Event::TokenReused));
}

#[test]
fn two_clients_with_one_token_do_not_fight_for_ever() {
    let mut scene = Scene::new();
    let (first, token) = scene.attached("alice");
    // A second tab has a copy of token and attempt.
    let (_, answer) = scene.hello(&hello(2, "alice", token.clone()));
    assert_eq!(status_of(&answer), Status::Resumed);
    assert_eq!(scene.heard(first), [Transmit::Close(Code::SUPERSEDED)]);
    // The first tab is told so, and does not come back by itself.
    let mut client = ClientSession::new(scene.now, Config::client().into());
    client.set_ticket("alice");
    let attempt = client.hello(scene.now).expect("a first attempt");
    client.handle_closed(attempt.number, Some(Code::SUPERSEDED.number()));
    let ended = client.poll_event(scene.now);
    assert!(matches!(ended, Some(Event::Ended(end)) if end.by == EndedBy::Superseded));
    assert_eq!(client.hello(scene.now), None);
}

#[test]
fn a_thousand_attaches_a_second_are_put_off() {
    let mut scene = Scene::new();
    let (_, mut token) = scene.attached("alice");
    let mut answers = [0, 0];
    for attempt in 2..1_002 {
        let (_, answer) = scene.hello(&hello(attempt, "alice", token.clone()));
        match welcome(&answer) {
            Some(Welcome::Accepted(Status::Resumed, accepted)) => {
                answers[0] += 1;
                token = accepted.token;
            }
            Some(Welcome::Busy { .. }) => answers[1] += 1,
            answer => panic!("{answer:?}"),
        }
        scene.now += Duration::from_millis(1);
    }
    assert_eq!(answers, [5, 995]);
    scene.assert_undisturbed();
    scene.now += Duration::from_secs(5);
    let (_, answer) = scene.hello(&hello(2_000, "alice", token));
    assert_eq!(status_of(&answer), Status::Resumed, "the session is as it was");
}

#[test]
fn whoever_shows_an_old_token_keeps_nobody_out() {
    let mut scene = Scene::new();
    let (_, old) = scene.attached("alice");
    let (owner, answer) = scene.hello(&hello(2, "alice", old.clone()));
    let token = token_of(&answer);
    scene.say(owner, &ack(0, 0));
    for attempt in 3..1_003 {
        let (_, answer) = scene.hello(&hello(attempt, "alice", old.clone()));
        assert_eq!(welcome(&answer), Some(Welcome::Stale));
        assert_eq!(answer[1..], [Transmit::Close(Code::SUPERSEDED)]);
    }
    assert_eq!(scene.say(owner, &ack(0, 0)), [], "the socket is still attached");
    // Neither the attaches nor the numbers of attempts are used up.
    let (_, answer) = scene.hello(&hello(3, "alice", token));
    assert_eq!(status_of(&answer), Status::Resumed);
    scene.assert_undisturbed();
}

#[test]
fn late_attempts_of_a_client_use_up_nothing() {
    let mut scene = Scene::new();
    let (_, token) = scene.attached("alice");
    let (_, answer) = scene.hello(&hello(50, "alice", token));
    let token = token_of(&answer);
    for attempt in 2..=50 {
        let (_, answer) = scene.hello(&hello(attempt, "alice", token.clone()));
        assert_eq!(welcome(&answer), Some(Welcome::Stale));
    }
    let (_, answer) = scene.hello(&hello(51, "alice", token));
    assert_eq!(status_of(&answer), Status::Resumed);
}

#[test]
fn a_resume_without_a_ticket_is_refused_unless_the_token_is_trusted() {
    for (policy, after, trusted) in [
        (Reauthentication::Required, 0, false),
        (Reauthentication::Grace(Duration::from_secs(10)), 10, true),
        (Reauthentication::Grace(Duration::from_secs(10)), 11, false),
        (Reauthentication::TokenOnly, 1_000, true),
    ] {
        let mut config = Config::server();
        config.terms.reauthentication = policy;
        let mut scene = Scene::with(config);
        let (_, token) = scene.attached("alice");
        scene.now += Duration::from_secs(after);
        let (_, answer) = scene.hello(&hello(2, "", token));
        if trusted {
            assert_eq!(status_of(&answer), Status::Resumed);
        } else {
            assert_eq!(welcome(&answer), Some(Welcome::Auth), "{policy:?} after {after} s");
        }
    }
}
