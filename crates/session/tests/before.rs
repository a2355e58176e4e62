//! What is accepted before there is a session.

use everwire_session::{
    ClientSession, Config, Direction, Event, Hello, Overflow, Prepared, StoreConfig, Transmit,
};
use everwire_testkit::{
    session::{Host, texts},
    start,
};

#[test]
fn messages_that_are_given_up_before_the_first_socket_are_told_to_both() {
    let now = start();
    let mut config = Config::client();
    (config.buffer.entries, config.buffer.overflow) = (1, Overflow::Evict);
    let mut client = ClientSession::new(now, config.into());
    client.set_ticket("alice");
    for text in ["1", "2", "3"] {
        client.send(now, Prepared::text(text)).expect("the oldest makes room");
    }
    let attempt = client.hello(now).expect("a first attempt");
    let hello = Hello::parse(&attempt.hello).expect("our own");
    assert_eq!((hello.recv, hello.lo, hello.next), (0, 3, 4));
    let mut host = Host::new(Config::server(), StoreConfig::default(), 1);
    host.open(now, 1);
    host.handle_message(now, 1, &attempt.hello);
    while let Some(transmit) = host.poll_transmit(now, 1) {
        let Transmit::Frame(frame) = transmit else { panic!("it is closed: {transmit:?}") };
        client.handle_message(now, attempt.number, &frame);
    }
    while let Some(Transmit::Frame(frame)) = client.poll_transmit(now, attempt.number) {
        host.handle_message(now, 1, &frame);
    }
    let heard: Vec<_> = std::iter::from_fn(|| host.poll_event(now)).map(|(_, it)| it).collect();
    let gaps = |events: &[Event]| {
        let gap = |event: &Event| match event {
            Event::Gap(direction, gap) => Some((*direction, gap.from, gap.to)),
            _ => None,
        };
        events.iter().filter_map(gap).collect::<Vec<_>>()
    };
    assert_eq!(gaps(&heard), [(Direction::In, 1, 2)]);
    assert_eq!(texts(&heard), ["3"]);
    let told: Vec<_> = std::iter::from_fn(|| client.poll_event(now)).collect();
    assert_eq!(gaps(&told), [(Direction::Out, 1, 2)]);
}
