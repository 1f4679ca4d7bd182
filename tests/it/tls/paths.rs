//! What works without TLS works by TLS: the same tests, with all their clients before a relay
//! (see [`crate::harness::tls`]).

use crate::harness::tls::by_tls;

macro_rules! by_tls {
    ($($($module:ident)::+: $test:ident;)+) => {
        $(
            #[test]
            fn $test() {
                by_tls(crate::$($module::)+$test);
            }
        )+
    };
}

by_tls! {
    drain: clients_move_and_nothing_that_was_acknowledged_is_lost;
    resume: all_rooms_come_back_by_one_cursor;
    resume::far_behind: a_slow_reader_is_alive_and_its_end_is_noticed;
    resume::far_behind: a_thousand_missed_events;
    resume::from_memory: a_memory_larger_than_the_outbox_is_replayed_all_the_same;
    shutdown: a_client_that_does_not_answer_holds_nothing_up;
    shutdown: a_request_in_flight_gets_its_answer;
    shutdown: clients_are_told_to_move_and_resume_where_they_were;
    shutdown: connections_without_a_request_hold_nothing_up;
    shutdown: nothing_acknowledged_is_lost_under_load;
    socketio_contract::upgrade: a_poll_right_after_it_is_refused;
    socketio_contract::upgrade: a_poll_that_waits_ends_in_a_noop;
    socketio_contract::upgrade: a_session_changes_to_a_websocket;
    socketio_contract::upgrade: what_waits_goes_by_the_websocket;
    slow_peers: what_waits_too_long_makes_a_slow_peer;
    slow_peers: who_reads_nothing_goes_and_so_does_the_socket;
    sse::ends: a_client_that_goes_is_noticed_at_once;
    sse::ends: a_node_that_goes_tells_its_streams_and_ends_in_time;
    sse::ends: the_end_of_a_session_ends_its_streams;
    sse::live: a_room_is_seen_in_order_whoever_speaks;
    sse::resume: a_room_is_resumed_while_messages_pour_in;
    sse::wire: head_gets_the_head_and_the_connection_goes_on;
    sse::wire: http2_carries_several_streams_on_one_connection;
    sse::wire: silence_is_broken_by_comments_and_whoever_takes_them_stays;
    sse::wire: two_hundred_streams_of_a_room_and_of_all_get_everything_in_order;
    talk: a_connection_without_credentials_gets_them_by_its_first_command;
    talk: a_logout_ends_the_sessions_connections;
    talk: a_long_replay_is_paced_by_its_reader;
    talk: everybody_sees_the_same_order_without_holes;
    talk: presence_tells_who_is_here_who_came_and_who_went;
    talk: two_people_talk_and_read_what_was_said;
    talk: who_left_hears_nothing_and_gets_it_all_on_coming_back;
    ws_limits: a_body_has_64_kib_and_not_a_byte_more;
    ws_limits: a_message_may_come_byte_by_byte_and_in_pieces;
    ws_limits: connections_of_the_node_are_counted;
    ws_limits: many_commands_at_once_are_all_answered;
    ws_limits: what_breaks_the_framing_closes_its_connection;
    ws_limits: who_answers_no_ping_is_gone;
    ws_limits: who_answers_pings_by_hand_stays;
}
