-- {"in flight": "AAAAAAAAAAIAAAAAAAAAGwAAAAEAAAGLz+Vv0OOaGuY97n+F5+7Gmf5xhTI=", "g 1": "AAAAAAAAAAQAAAAAAAAAHwAAAAEAAAGLz+Vv0ZbThNkNvzr1mPxYrHYs5wA=", "held": "AAAAAAAAADwAAAAAAAAARwAAAAEAAAGLz+ZiAaUjbmJSkDrKq+sOx2FN+Wk=", "letter": "AAAAAAAAAEAAAAAAAAAASgAAAAEAAAGLz+ZiAZJrMuIZ1oWaO7tWL+Zrs1Y="}
CREATE TABLE public.backlogs (
    queue_id bigint NOT NULL,
    messages bigint NOT NULL
)
WITH (fillfactor='10', autovacuum_vacuum_scale_factor='0');
CREATE TABLE public.bodies (
    queue_id bigint NOT NULL,
    id bigint NOT NULL,
    message_id bytea NOT NULL,
    body text NOT NULL,
    envelope bytea NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='50000', autovacuum_vacuum_cost_delay='0');
ALTER TABLE ONLY public.bodies ALTER COLUMN queue_id SET STATISTICS 0;
ALTER TABLE ONLY public.bodies ALTER COLUMN id SET STATISTICS 0;
ALTER TABLE ONLY public.bodies ALTER COLUMN message_id SET STATISTICS 0;
ALTER TABLE ONLY public.bodies ALTER COLUMN body SET STATISTICS 0;
ALTER TABLE ONLY public.bodies ALTER COLUMN envelope SET STATISTICS 0;
CREATE TABLE public.deduplications (
    queue_id bigint NOT NULL,
    key text NOT NULL,
    message_id bytea NOT NULL,
    number bigint NOT NULL,
    sent_at_ms bigint NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='50000', autovacuum_vacuum_cost_delay='0');
ALTER TABLE ONLY public.deduplications ALTER COLUMN queue_id SET STATISTICS 0;
ALTER TABLE ONLY public.deduplications ALTER COLUMN key SET STATISTICS 0;
ALTER TABLE ONLY public.deduplications ALTER COLUMN message_id SET STATISTICS 0;
ALTER TABLE ONLY public.deduplications ALTER COLUMN number SET STATISTICS 0;
ALTER TABLE ONLY public.deduplications ALTER COLUMN sent_at_ms SET STATISTICS 0;
CREATE TABLE public.deletions (
    account text NOT NULL COLLATE pg_catalog."C",
    region text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    deleted_at_ms bigint NOT NULL
);
CREATE TABLE public.dropped_queues (
    queue_id bigint CONSTRAINT leftovers_queue_id_not_null NOT NULL
);
CREATE TABLE public.groups (
    queue_id bigint NOT NULL,
    group_id text NOT NULL,
    head_id bigint NOT NULL,
    available_at_ms bigint NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='50000', autovacuum_vacuum_cost_delay='0');
ALTER TABLE ONLY public.groups ALTER COLUMN queue_id SET STATISTICS 0;
ALTER TABLE ONLY public.groups ALTER COLUMN group_id SET STATISTICS 0;
ALTER TABLE ONLY public.groups ALTER COLUMN head_id SET STATISTICS 0;
ALTER TABLE ONLY public.groups ALTER COLUMN available_at_ms SET STATISTICS 0;
CREATE TABLE public.messages (
    queue_id bigint NOT NULL,
    id bigint NOT NULL,
    visible_at_ms bigint NOT NULL,
    sent_at_ms bigint NOT NULL,
    receive_count integer NOT NULL,
    first_received_at_ms bigint,
    group_id text,
    tenant_id text,
    queued_at_ms bigint NOT NULL,
    body_id bigint NOT NULL,
    size integer NOT NULL,
    earlier_receives integer NOT NULL,
    dead_letter_source text,
    message_id bytea
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='50000', autovacuum_vacuum_cost_delay='0');
ALTER TABLE ONLY public.messages ALTER COLUMN queue_id SET STATISTICS 0;
ALTER TABLE ONLY public.messages ALTER COLUMN id SET STATISTICS 0;
ALTER TABLE ONLY public.messages ALTER COLUMN visible_at_ms SET STATISTICS 0;
ALTER TABLE ONLY public.messages ALTER COLUMN sent_at_ms SET STATISTICS 0;
ALTER TABLE ONLY public.messages ALTER COLUMN receive_count SET STATISTICS 0;
ALTER TABLE ONLY public.messages ALTER COLUMN first_received_at_ms SET STATISTICS 0;
ALTER TABLE ONLY public.messages ALTER COLUMN group_id SET STATISTICS 0;
ALTER TABLE ONLY public.messages ALTER COLUMN tenant_id SET STATISTICS 0;
ALTER TABLE ONLY public.messages ALTER COLUMN queued_at_ms SET STATISTICS 0;
ALTER TABLE ONLY public.messages ALTER COLUMN body_id SET STATISTICS 0;
ALTER TABLE ONLY public.messages ALTER COLUMN size SET STATISTICS 0;
ALTER TABLE ONLY public.messages ALTER COLUMN earlier_receives SET STATISTICS 0;
ALTER TABLE ONLY public.messages ALTER COLUMN dead_letter_source SET STATISTICS 0;
ALTER TABLE ONLY public.messages ALTER COLUMN message_id SET STATISTICS 0;
CREATE TABLE public.move_tasks (
    id text NOT NULL,
    account text NOT NULL COLLATE pg_catalog."C",
    region text NOT NULL COLLATE pg_catalog."C",
    source text NOT NULL COLLATE pg_catalog."C",
    destination text,
    per_second integer,
    status text NOT NULL,
    moved bigint NOT NULL,
    to_move bigint NOT NULL,
    failure text,
    number bigint NOT NULL,
    started_at_ms bigint NOT NULL
);
CREATE SEQUENCE public.numbers
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE public.properties (
    name text NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.queue_delays (
    queue_id bigint CONSTRAINT delays_queue_id_not_null NOT NULL,
    delay_ms bigint CONSTRAINT delays_delay_ms_not_null NOT NULL,
    before_id bigint CONSTRAINT delays_before_id_not_null NOT NULL
);
CREATE TABLE public.queues (
    id bigint NOT NULL,
    revision bigint NOT NULL,
    kind text NOT NULL,
    account text NOT NULL COLLATE pg_catalog."C",
    region text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL COLLATE pg_catalog."C",
    created_at_ms bigint NOT NULL,
    modified_at_ms bigint NOT NULL,
    purged_at_ms bigint,
    attributes json NOT NULL,
    tags json NOT NULL,
    retention_ms bigint NOT NULL,
    dead_letter_account text COLLATE pg_catalog."C",
    dead_letter_region text COLLATE pg_catalog."C",
    dead_letter_name text COLLATE pg_catalog."C",
    max_receive_count integer,
    delay_ms bigint NOT NULL
);
CREATE TABLE public.receive_attempts (
    queue_id bigint CONSTRAINT attempts_queue_id_not_null NOT NULL,
    attempt_id text CONSTRAINT attempts_attempt_id_not_null NOT NULL,
    made_at_ms bigint CONSTRAINT attempts_made_at_ms_not_null NOT NULL,
    parameters json CONSTRAINT attempts_parameters_not_null NOT NULL,
    claims json CONSTRAINT attempts_claims_not_null NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_insert_scale_factor='0', autovacuum_vacuum_insert_threshold='50000', autovacuum_vacuum_cost_delay='0');
ALTER TABLE ONLY public.receive_attempts ALTER COLUMN queue_id SET STATISTICS 0;
ALTER TABLE ONLY public.receive_attempts ALTER COLUMN attempt_id SET STATISTICS 0;
ALTER TABLE ONLY public.receive_attempts ALTER COLUMN made_at_ms SET STATISTICS 0;
ALTER TABLE ONLY public.receive_attempts ALTER COLUMN parameters SET STATISTICS 0;
ALTER TABLE ONLY public.receive_attempts ALTER COLUMN claims SET STATISTICS 0;
INSERT INTO public.backlogs VALUES (12, 0);
INSERT INTO public.backlogs VALUES (13, 0);
INSERT INTO public.backlogs VALUES (11, 1);
INSERT INTO public.backlogs VALUES (4, 3);
INSERT INTO public.backlogs VALUES (6, 3);
INSERT INTO public.backlogs VALUES (5, 2);
INSERT INTO public.backlogs VALUES (3, 2);
INSERT INTO public.backlogs VALUES (7, 3);
INSERT INTO public.backlogs VALUES (2, 4);
INSERT INTO public.backlogs VALUES (1, 2);
INSERT INTO public.backlogs VALUES (9, 2);
INSERT INTO public.backlogs VALUES (10, 1);
INSERT INTO public.backlogs VALUES (8, 1);
INSERT INTO public.backlogs VALUES (42, 1);
INSERT INTO public.backlogs VALUES (51, 0);
INSERT INTO public.backlogs VALUES (50, 1);
INSERT INTO public.backlogs VALUES (52, 1);
INSERT INTO public.backlogs VALUES (53, 0);
INSERT INTO public.backlogs VALUES (54, 1);
INSERT INTO public.backlogs VALUES (65, 1);
INSERT INTO public.backlogs VALUES (66, 1);
INSERT INTO public.backlogs VALUES (59, 3);
INSERT INTO public.backlogs VALUES (60, 2);
INSERT INTO public.backlogs VALUES (62, 0);
INSERT INTO public.backlogs VALUES (61, 1);
INSERT INTO public.backlogs VALUES (63, 1);
INSERT INTO public.backlogs VALUES (64, 3);
INSERT INTO public.bodies VALUES (7, 15, '\x75593b088e4848ce996bcc343f5bdeb9', 'expired 1', '\x96ac303030303030303030303030d9203461613161333731363736373239316164383532656339653936633664376435c0c0c0c0');
INSERT INTO public.bodies VALUES (7, 16, '\x34904e45e9124277994ef26837498e9d', 'expired 2', '\x96ac303030303030303030303030d9206635393937613530383766386366306232623936396133386165616233616332c0c0c0c0');
INSERT INTO public.bodies VALUES (1, 23, '\x174ace04242440f5927521f4e11a1af4', 'dead 2', '\x96ac303030303030303030303030d9203162643531313830383632333431313237343037373436323133356562626130c0c0c0c0');
INSERT INTO public.bodies VALUES (1, 24, '\xc64e0ab83162401688a874de22aeb125', 'dead 3', '\x96ac303030303030303030303030d9206266346561356162633365303938396264626334626164633435326333383766c0c0c0c0');
INSERT INTO public.bodies VALUES (3, 25, '\x125ea9d7945d412caa85862d4d5c60e2', 'fifo dead 1', '\x96ac303030303030303030303030d9203563366564386639316637626234366166383530366366313532303239316561c0c0c0ab6669666f2d646561642d31');
INSERT INTO public.bodies VALUES (3, 26, '\xee4684aef35149a780978388a69637d6', 'fifo dead 2', '\x96ac303030303030303030303030d9206261343931333062616434316362333563616539366565376134306166646361c0c0c0ab6669666f2d646561642d32');
INSERT INTO public.bodies VALUES (2, 27, '\x4a1319e00b8f4e0bb3d2fd7faa51a24a', 'in flight', '\x96ac303030303030303030303030d9206432323934373138373132393337313031356262353834343232616663306466c0c0c0c0');
INSERT INTO public.bodies VALUES (2, 28, '\xa92fff4d74dc4448a7b9243a08000f63', 'visible', '\x96ac303030303030303030303030d920343663663065353937353963396237663131313263613462313734333433656681a16e93a64e756d626572a131c0d9206566383862646334353833333934613966326263646336613666306363626665c0c0');
INSERT INTO public.bodies VALUES (2, 29, '\x83fbc7135d634a3bb8cf8de1e66bd740', 'of a tenant', '\x96ac303030303030303030303030d9206536353866366333616133313337663231306239323165353233643066343161c0c0c0c0');
INSERT INTO public.bodies VALUES (2, 30, '\x7cbe5c98ebf94667b0e92ac378e4896d', 'delayed', '\x96ac303030303030303030303030d9206635653061363430653031633533393534333936623535626565623239616239c0c0c0c0');
INSERT INTO public.bodies VALUES (4, 31, '\x400e225192c14b1d919ebacee9a57a78', 'g 1', '\x96ac303030303030303030303030d9203838623365306165656430663130656130343763653535366166333837306236c0c0c0a3672d31');
INSERT INTO public.bodies VALUES (4, 32, '\xc926ec5be63d462db27c65ea75b2b878', 'g 2', '\x96ac303030303030303030303030d9203734303432313661643463643539353234626635653338366632313264383163c0c0c0a3672d32');
INSERT INTO public.bodies VALUES (4, 33, '\x14549d802bb647dd8c9791e711ddf945', 'h 1', '\x96ac303030303030303030303030d9206332323530363561636663643137336131643633383837346531653066626662c0c0c0a3682d31');
INSERT INTO public.bodies VALUES (5, 34, '\x241568bd0980497cbd34a39c5471d681', 'x 1', '\x96ac303030303030303030303030d9206362383835393138346563656633353036626531373231323839333830353165c0c0c0a473616d65');
INSERT INTO public.bodies VALUES (5, 35, '\x9d6f01fa18d64bbfbc53bf7f6d7d2d3c', 'y 1', '\x96ac303030303030303030303030d9206563376530353564663932336235616131663435303566383762313166343561c0c0c0a473616d65');
INSERT INTO public.bodies VALUES (6, 36, '\x2735724155664e5a8dac6ad2ff587cc0', 'a', '\x96ac303030303030303030303030d9203063633137356239633066316236613833316333393965323639373732363631c0c0c0a161');
INSERT INTO public.bodies VALUES (6, 37, '\x1b4274d2da6e43c283f90e092b0b5b28', 'b', '\x96ac303030303030303030303030d9203932656235666665653661653266656333616437316337373735333135373866c0c0c0a162');
INSERT INTO public.bodies VALUES (6, 38, '\xfdadb862372b4802a8973e4fd9d726fa', 'c', '\x96ac303030303030303030303030d9203461386130386630396433376237333739353634393033383430386235663333c0c0c0a163');
INSERT INTO public.bodies VALUES (9, 40, '\x034cb89d8cce4717841eaedb79fc447c', 'purged 1', '\x96ac303030303030303030303030d9206436353961333033626534626539383164316562343863656637313966313135c0c0c0c0');
INSERT INTO public.bodies VALUES (9, 41, '\xa375972455b04196945641416cdcffd7', 'purged 2', '\x96ac303030303030303030303030d9206133373834393963376364353062353536346265643735653139306633383830c0c0c0c0');
INSERT INTO public.bodies VALUES (42, 43, '\x2b6fe3539b9943cbb3d883fe72d064f2', 'after the purge', '\x96ac303030303030303030303030d9203566363630626630383266636538396234646165633664343332646335313361c0c0c0c0');
INSERT INTO public.bodies VALUES (10, 44, '\xdca7f63c99d74d96881810d6caa5c038', 'deleted 1', '\x96ac303030303030303030303030d9203766306264363735326266356435326665616364653831653532313930393433c0c0c0c0');
INSERT INTO public.bodies VALUES (11, 45, '\xebdf1dea76034cc2ad8e14f1de0d2d71', 'deleted 2', '\x96ac303030303030303030303030d9203132626632356536613365306234353063363865383936643231316562626564c0c0c0a964656c657465642d32');
INSERT INTO public.bodies VALUES (7, 46, '\x6a7055eb82b44c95a031085debc21699', 'alive', '\x96ac303030303030303030303030d9203762643364356635623363646231336165643633323132313230366537323963c0c0c0c0');
INSERT INTO public.bodies VALUES (8, 48, '\xdd8f3a2df34a438e9341250c44626c41', 'dead 1', '\x96ac303030303030303030303030d9203939323437626361306434663930646363386439663239306230656535653438c0c0c0c0');
INSERT INTO public.bodies VALUES (50, 55, '\x8b67d46b853446069453b5b151657dd2', 'größer', '\x96ac303030303030303030303030d9203362316635626363646439383038366165386631383532666432616162653534c0c0c0c0');
INSERT INTO public.bodies VALUES (52, 57, '\x77d596f402eb411c9c20fe1373feca53', 'chained', '\x96ac303030303030303030303030d9206466656333333162313138303135313534363666376564646432303836396236c0c0c0c0');
INSERT INTO public.bodies VALUES (54, 58, '\x0b2749240fca43dfacea1e07dd4916e8', 'slow', '\x96ac303030303030303030303030d9203466653964666537383461326265323564643861656333623430336333363534c0c0c0c0');
INSERT INTO public.bodies VALUES (59, 67, '\xccb067f70f214ceea42183a40d42e405', 'received three times', '\x96ac303030303030303030303030d9203566333861376164393732633562616231656263376434643630616436343336c0c0c0c0');
INSERT INTO public.bodies VALUES (59, 68, '\xc663805d04604e2eb5ec1b2fbb7be1c0', 'received once', '\x96ac303030303030303030303030d9203434663463386563646264613637353364616464346561643333633632323438c0c0c0c0');
INSERT INTO public.bodies VALUES (59, 69, '\x9935179989744d24b929181a3c379435', 'never received', '\x96ac303030303030303030303030d9203033363930646635346264386635333437306530336238616362323737333162c0c0c0c0');
INSERT INTO public.bodies VALUES (60, 70, '\x2e62bab0b5fc4fd1a2f52f50263ced8b', 'größer 漢字 🙂', '\x96ac303030303030303030303030d920666563373634656630363635623137373235393739356233306162346635356583a47465787493a6537472696e67a753747261c39f65c0a66e756d62657293aa4e756d6265722e696e74a23432c0a5627974657393a642696e617279c0c40200ffd9206636373937326362333738386539353061656537333033393733393161303936d928526f6f743d312d35373539653938382d626438363265336665316265343661393934323732373933c0');
INSERT INTO public.bodies VALUES (60, 71, '\x86366403d3ac40c2b88e34ba6d90265e', 'held', '\x96ac303030303030303030303030d9203065623239663564363134396538343735306263643666366537343161376131c0c0c0c0');
INSERT INTO public.bodies VALUES (62, 72, '\x12bdefdc58214301a1b9d5cc8c5740e1', 'invoice 1', '\x96ac303030303030303030303030d9203964343061666236343432623161656639326235613030353762336637353430c0c0c0c0');
INSERT INTO public.bodies VALUES (62, 73, '\x54091da4a2004683b67acb92f1e5f1fe', 'invoice 2', '\x96ac303030303030303030303030d9203262376136623261636134383736643066383936363038316564656438343530c0c0c0c0');
INSERT INTO public.bodies VALUES (64, 74, '\xd9002b5abf1d47658d3b3018ff32c523', 'letter', '\x96ac303030303030303030303030d9206635623735303130656138613534623936663866653764616661633635633138c0c0c0d94066383031303565666162366438363366643866633234336432363930393434363965323237376538663132653561306139663430316538383439346637623462');
INSERT INTO public.bodies VALUES (64, 75, '\xcf50796b94864d0eb00e3f0f01595c83', 'letter 2', '\x96ac303030303030303030303030d9203133613132653138303633666239653731653962663763646134343766353635c0c0c0d94064346230313234393565616336613530303739316164623130643163613764623033366639383134373035343834616261653830643337626637643662616562');
INSERT INTO public.bodies VALUES (64, 76, '\x3edff8e48a584aa0bf4a6625ede853a5', 'other', '\x96ac303030303030303030303030d9203739356633323032623137636236626333643462373731643863366339656166c0c0c0a36f776e');
INSERT INTO public.bodies VALUES (65, 77, '\x88dc13b6b78a474eb4b3aefccc2a7f79', 'of a queue with a key', '\x96ac303030303030303030303030d9206135363139326463316632343561333866383235626137333461623561336162c0c0c0c0');
INSERT INTO public.bodies VALUES (66, 78, '\x994425c1a0694a6fb785a6a2457d614f', 'of a queue without encryption', '\x96ac303030303030303030303030d9206536636636646636323834623532393262666238626233396665386265636331c0c0c0c0');
INSERT INTO public.deduplications VALUES (4, 'fifo-dead-1', '\x125ea9d7945d412caa85862d4d5c60e2', 20, 1700000001000);
INSERT INTO public.deduplications VALUES (4, 'fifo-dead-2', '\xee4684aef35149a780978388a69637d6', 21, 1700000001000);
INSERT INTO public.deduplications VALUES (4, 'g-1', '\x400e225192c14b1d919ebacee9a57a78', 31, 1700000002001);
INSERT INTO public.deduplications VALUES (4, 'g-2', '\xc926ec5be63d462db27c65ea75b2b878', 32, 1700000002001);
INSERT INTO public.deduplications VALUES (4, 'h-1', '\x14549d802bb647dd8c9791e711ddf945', 33, 1700000002001);
INSERT INTO public.deduplications VALUES (5, 'x same', '\x241568bd0980497cbd34a39c5471d681', 34, 1700000002001);
INSERT INTO public.deduplications VALUES (5, 'y same', '\x9d6f01fa18d64bbfbc53bf7f6d7d2d3c', 35, 1700000002001);
INSERT INTO public.deduplications VALUES (6, 'a', '\x2735724155664e5a8dac6ad2ff587cc0', 36, 1700000002001);
INSERT INTO public.deduplications VALUES (6, 'b', '\x1b4274d2da6e43c283f90e092b0b5b28', 37, 1700000002001);
INSERT INTO public.deduplications VALUES (6, 'c', '\xfdadb862372b4802a8973e4fd9d726fa', 38, 1700000002001);
INSERT INTO public.deduplications VALUES (11, 'deleted-2', '\xebdf1dea76034cc2ad8e14f1de0d2d71', 45, 1700000002001);
INSERT INTO public.deduplications VALUES (64, 'f80105efab6d863fd8fc243d269094469e2277e8f12e5a0a9f401e88494f7b4b', '\xd9002b5abf1d47658d3b3018ff32c523', 74, 1700000063001);
INSERT INTO public.deduplications VALUES (64, 'd4b012495eac6a500791adb10d1ca7db036f9814705484abae80d37bf7d6baeb', '\xcf50796b94864d0eb00e3f0f01595c83', 75, 1700000063001);
INSERT INTO public.deduplications VALUES (64, 'own', '\x3edff8e48a584aa0bf4a6625ede853a5', 76, 1700000063001);
INSERT INTO public.deletions VALUES ('000000000000', 'us-east-1', 'deleted', 1700000002001);
INSERT INTO public.deletions VALUES ('000000000000', 'us-east-1', 'deleted.fifo', 1700000002001);
INSERT INTO public.dropped_queues VALUES (9);
INSERT INTO public.dropped_queues VALUES (10);
INSERT INTO public.dropped_queues VALUES (11);
INSERT INTO public.groups VALUES (3, 'g', 25, 1700000002000);
INSERT INTO public.groups VALUES (4, 'g', 31, 1700000302001);
INSERT INTO public.groups VALUES (4, 'h', 33, 1700000002001);
INSERT INTO public.groups VALUES (5, 'x', 34, 1700000002001);
INSERT INTO public.groups VALUES (5, 'y', 35, 1700000002001);
INSERT INTO public.groups VALUES (6, 'd', 36, 1700000002001);
INSERT INTO public.groups VALUES (11, 'g', 45, 1700000002001);
INSERT INTO public.groups VALUES (64, 'b', 76, 1700000063001);
INSERT INTO public.groups VALUES (64, 'a', 74, 1700000364001);
INSERT INTO public.messages VALUES (1, 23, 1700000002000, 1700000001000, 1, 1700000001000, NULL, NULL, 1700000002000, 23, 58, 1, 'arn:aws:sqs:us-east-1:000000000000:orders', NULL);
INSERT INTO public.messages VALUES (1, 24, 1700000002000, 1700000001000, 1, 1700000001000, NULL, NULL, 1700000002000, 24, 58, 1, 'arn:aws:sqs:us-east-1:000000000000:orders', NULL);
INSERT INTO public.messages VALUES (2, 27, 1700000302000, 1700000002000, 1, 1700000002000, NULL, NULL, 1700000002000, 27, 61, 0, NULL, NULL);
INSERT INTO public.messages VALUES (2, 28, 0, 1700000002000, 0, NULL, NULL, NULL, 1700000002000, 28, 105, 0, NULL, NULL);
INSERT INTO public.messages VALUES (2, 29, 0, 1700000002001, 0, NULL, NULL, 'tenant', 1700000002001, 29, 63, 0, NULL, NULL);
INSERT INTO public.messages VALUES (2, 30, 1700000902001, 1700000002001, 0, NULL, NULL, NULL, 1700000002001, 30, 59, 0, NULL, NULL);
INSERT INTO public.messages VALUES (3, 25, 1700000002000, 1700000002000, 1, 1700000001000, 'g', NULL, 1700000002000, 25, 74, 1, 'arn:aws:sqs:us-east-1:000000000000:events.fifo', NULL);
INSERT INTO public.messages VALUES (3, 26, 1700000002000, 1700000002000, 1, 1700000001000, 'g', NULL, 1700000002000, 26, 74, 1, 'arn:aws:sqs:us-east-1:000000000000:events.fifo', NULL);
INSERT INTO public.messages VALUES (4, 31, 1700000302001, 1700000002001, 1, 1700000002001, 'g', NULL, 1700000002001, 31, 58, 0, NULL, NULL);
INSERT INTO public.messages VALUES (4, 32, 1700000002001, 1700000002001, 0, NULL, 'g', NULL, 1700000002001, 32, 58, 0, NULL, NULL);
INSERT INTO public.messages VALUES (4, 33, 1700000002001, 1700000002001, 0, NULL, 'h', NULL, 1700000002001, 33, 58, 0, NULL, NULL);
INSERT INTO public.messages VALUES (5, 34, 1700000002001, 1700000002001, 0, NULL, 'x', NULL, 1700000002001, 34, 59, 0, NULL, NULL);
INSERT INTO public.messages VALUES (5, 35, 1700000002001, 1700000002001, 0, NULL, 'y', NULL, 1700000002001, 35, 59, 0, NULL, NULL);
INSERT INTO public.messages VALUES (6, 36, 1700000002001, 1700000002001, 0, NULL, 'd', NULL, 1700000002001, 36, 54, 0, NULL, NULL);
INSERT INTO public.messages VALUES (6, 37, 1700000002001, 1700000002001, 0, NULL, 'd', NULL, 1700000002001, 37, 54, 0, NULL, NULL);
INSERT INTO public.messages VALUES (6, 38, 1700000902001, 1700000002001, 0, NULL, 'd', NULL, 1700000002001, 38, 54, 0, NULL, NULL);
INSERT INTO public.messages VALUES (7, 15, 0, 1700000001000, 0, NULL, NULL, NULL, 1700000001000, 15, 61, 0, NULL, NULL);
INSERT INTO public.messages VALUES (7, 16, 0, 1700000001000, 0, NULL, NULL, NULL, 1700000001000, 16, 61, 0, NULL, NULL);
INSERT INTO public.messages VALUES (7, 46, 0, 1700000062001, 0, NULL, NULL, NULL, 1700000062001, 46, 57, 0, NULL, NULL);
INSERT INTO public.messages VALUES (8, 48, 0, 1700000063001, 0, NULL, NULL, NULL, 1700000063001, 48, 58, 0, NULL, NULL);
INSERT INTO public.messages VALUES (9, 40, 0, 1700000002001, 0, NULL, NULL, NULL, 1700000002001, 40, 60, 0, NULL, NULL);
INSERT INTO public.messages VALUES (9, 41, 0, 1700000002001, 0, NULL, NULL, NULL, 1700000002001, 41, 60, 0, NULL, NULL);
INSERT INTO public.messages VALUES (10, 44, 0, 1700000002001, 0, NULL, NULL, NULL, 1700000002001, 44, 61, 0, NULL, NULL);
INSERT INTO public.messages VALUES (11, 45, 1700000002001, 1700000002001, 1, 1700000002001, 'g', NULL, 1700000002001, 45, 70, 0, NULL, NULL);
INSERT INTO public.messages VALUES (42, 43, 0, 1700000002001, 0, NULL, NULL, NULL, 1700000002001, 43, 67, 0, NULL, NULL);
INSERT INTO public.messages VALUES (50, 55, 0, 1700000063001, 0, NULL, NULL, NULL, 1700000063001, 55, 60, 0, NULL, NULL);
INSERT INTO public.messages VALUES (52, 57, 1700000063001, 1700000063001, 2, 1700000063001, NULL, NULL, 1700000063001, 57, 59, 2, 'us-east-1:000000000000:chained', NULL);
INSERT INTO public.messages VALUES (54, 58, 1700000123001, 1700000063001, 0, NULL, NULL, NULL, 1700000063001, 58, 56, 0, NULL, NULL);
INSERT INTO public.messages VALUES (59, 69, 0, 1700000063001, 0, NULL, NULL, NULL, 1700000063001, 69, 66, 0, NULL, NULL);
INSERT INTO public.messages VALUES (64, 75, 1700000063001, 1700000063001, 0, NULL, 'a', NULL, 1700000063001, 75, 125, 0, NULL, NULL);
INSERT INTO public.messages VALUES (64, 76, 1700000063001, 1700000063001, 0, NULL, 'b', NULL, 1700000063001, 76, 60, 0, NULL, NULL);
INSERT INTO public.messages VALUES (65, 77, 0, 1700000063001, 0, NULL, NULL, NULL, 1700000063001, 77, 73, 0, NULL, NULL);
INSERT INTO public.messages VALUES (66, 78, 0, 1700000063001, 0, NULL, NULL, NULL, 1700000063001, 78, 81, 0, NULL, NULL);
INSERT INTO public.messages VALUES (59, 67, 0, 1700000063001, 3, 1700000064001, NULL, NULL, 1700000064002, 67, 72, 0, NULL, NULL);
INSERT INTO public.messages VALUES (59, 68, 1700000064001, 1700000063001, 1, 1700000064001, NULL, NULL, 1700000063001, 68, 65, 0, NULL, NULL);
INSERT INTO public.messages VALUES (60, 71, 1700000364001, 1700000063001, 1, 1700000064001, NULL, NULL, 1700000063001, 71, 56, 0, NULL, NULL);
INSERT INTO public.messages VALUES (60, 70, 1700000064001, 1700000063001, 1, 1700000064001, NULL, NULL, 1700000063001, 70, 210, 0, NULL, NULL);
INSERT INTO public.messages VALUES (61, 80, 0, 1700000063001, 1, 1700000064001, NULL, NULL, 1700000064001, 73, 61, 1, 'us-east-1:000000000000:invoices', NULL);
INSERT INTO public.messages VALUES (64, 74, 1700000364001, 1700000063001, 1, 1700000064001, 'a', NULL, 1700000063001, 74, 123, 0, NULL, NULL);
INSERT INTO public.messages VALUES (63, 82, 0, 1700000065001, 0, NULL, NULL, NULL, 1700000065001, 72, 61, 0, NULL, '\x6e5b31580b84495da920e81bba716d31');
INSERT INTO public.move_tasks VALUES ('da3a8ff5-17c3-4ef1-93e9-45fc36a65d58', '000000000000', 'us-east-1', 'orders-dlq', 'arn:aws:sqs:us-east-1:000000000000:target', NULL, 'COMPLETED', 0, 0, NULL, 14, 1700000000000);
INSERT INTO public.move_tasks VALUES ('590d3903-7d5f-43cd-9f5d-d8194dde7d5e', '000000000000', 'us-east-1', 'orders-dlq', 'arn:aws:sqs:us-east-1:000000000000:target', 1, 'RUNNING', 1, 3, NULL, 47, 1700000063001);
INSERT INTO public.move_tasks VALUES ('266858fe-3bb2-415d-b95b-956db5e051a7', '000000000000', 'us-east-1', 'events-dlq.fifo', NULL, NULL, 'RUNNING', 0, 2, NULL, 49, 1700000063001);
INSERT INTO public.move_tasks VALUES ('d8d91ae4-78e4-4f7c-b4db-06d201f9f6b2', '000000000000', 'us-east-1', 'invoices-dlq', 'us-east-1:000000000000:archive', NULL, 'CANCELLED', 1, 2, NULL, 81, 1700000065001);
INSERT INTO public.properties VALUES ('secret', 'ef6c0d1dcae3c6cbb32abd6c1119f63ff578d3f0fdf2d9b51ef90b8a1d24e2a0');
INSERT INTO public.properties VALUES ('schema_version', '3');
INSERT INTO public.queue_delays VALUES (6, 900000, 38);
INSERT INTO public.queues VALUES (1, 1, 'standard', '000000000000', 'us-east-1', 'orders-dlq', 1700000000000, 1700000000000, NULL, '{"RedriveAllowPolicy": "{\"redrivePermission\":\"allowAll\"}"}', '{}', 345600000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.queues VALUES (2, 2, 'standard', '000000000000', 'us-east-1', 'orders', 1700000000000, 1700000000000, NULL, '{"MessageRetentionPeriod": "3600", "VisibilityTimeout": "7", "RedrivePolicy": "{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:orders-dlq\",\"maxReceiveCount\":1}", "Policy": "{\"Version\":\"2008-10-17\",\"Id\":\"arn:aws:sqs:us-east-1:000000000000:orders/SQSDefaultPolicy\",\"Statement\":[{\"Sid\":\"label\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::123456789012:root\"},\"Action\":\"SQS:SendMessage\",\"Resource\":\"arn:aws:sqs:us-east-1:000000000000:orders\"}]}"}', '{"team": "sales"}', 3600000, '000000000000', 'us-east-1', 'orders-dlq', 1, 0);
INSERT INTO public.queues VALUES (3, 1, 'fifo', '000000000000', 'us-east-1', 'events-dlq.fifo', 1700000000000, 1700000000000, NULL, '{"FifoQueue": "true"}', '{}', 345600000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.queues VALUES (4, 1, 'fifo', '000000000000', 'us-east-1', 'events.fifo', 1700000000000, 1700000000000, NULL, '{"MessageRetentionPeriod": "3600", "RedrivePolicy": "{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:events-dlq.fifo\",\"maxReceiveCount\":1}", "FifoQueue": "true"}', '{}', 3600000, '000000000000', 'us-east-1', 'events-dlq.fifo', 1, 0);
INSERT INTO public.queues VALUES (5, 1, 'fifo_by_group', '000000000000', 'us-east-1', 'by-group.fifo', 1700000000000, 1700000000000, NULL, '{"DeduplicationScope": "messageGroup", "FifoQueue": "true"}', '{}', 345600000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.queues VALUES (6, 2, 'fifo', '000000000000', 'us-east-1', 'delays.fifo', 1700000000000, 1700000002001, NULL, '{"FifoQueue": "true", "DelaySeconds": "900"}', '{}', 345600000, NULL, NULL, NULL, NULL, 900000);
INSERT INTO public.queues VALUES (7, 1, 'standard', '000000000000', 'us-east-1', 'short', 1700000000000, 1700000000000, NULL, '{"MessageRetentionPeriod": "60"}', '{}', 60000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.queues VALUES (8, 1, 'standard', '000000000000', 'us-east-1', 'target', 1700000000000, 1700000000000, NULL, '{}', '{}', 345600000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.queues VALUES (12, 1, 'standard', '111111111111', 'eu-west-1', 'abroad-dlq', 1700000000000, 1700000000000, NULL, '{}', '{}', 345600000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.queues VALUES (13, 1, 'standard', '111111111111', 'eu-west-1', 'abroad', 1700000000000, 1700000000000, NULL, '{"RedrivePolicy": "{\"deadLetterTargetArn\":\"arn:aws:sqs:eu-west-1:111111111111:abroad-dlq\",\"maxReceiveCount\":1}"}', '{"far": "away"}', 345600000, '111111111111', 'eu-west-1', 'abroad-dlq', 1, 0);
INSERT INTO public.queues VALUES (42, 2, 'standard', '000000000000', 'us-east-1', 'purged', 1700000000000, 1700000000000, 1700000002001, '{}', '{}', 345600000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.queues VALUES (50, 1, 'standard', '000000000000', 'us-east-1', 'letters', 1700000063001, 1700000063001, NULL, '{}', '{}', 345600000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.queues VALUES (51, 1, 'standard', '000000000000', 'us-east-1', 'second-dlq', 1700000063001, 1700000063001, NULL, '{}', '{}', 345600000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.queues VALUES (52, 1, 'standard', '000000000000', 'us-east-1', 'first-dlq', 1700000063001, 1700000063001, NULL, '{"RedrivePolicy": "{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:second-dlq\",\"maxReceiveCount\":2}"}', '{}', 345600000, '000000000000', 'us-east-1', 'second-dlq', 2, 0);
INSERT INTO public.queues VALUES (53, 1, 'standard', '000000000000', 'us-east-1', 'chained', 1700000063001, 1700000063001, NULL, '{"RedrivePolicy": "{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:first-dlq\",\"maxReceiveCount\":2}"}', '{}', 345600000, '000000000000', 'us-east-1', 'first-dlq', 2, 0);
INSERT INTO public.queues VALUES (54, 1, 'standard', '000000000000', 'us-east-1', 'slow', 1700000063001, 1700000063001, NULL, '{"DelaySeconds": "60"}', '{}', 345600000, NULL, NULL, NULL, NULL, 60000);
INSERT INTO public.queues VALUES (59, 1, 'standard', '000000000000', 'us-east-1', 'ordered', 1700000063001, 1700000063001, NULL, '{}', '{}', 345600000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.queues VALUES (60, 1, 'standard', '000000000000', 'us-east-1', 'contents', 1700000063001, 1700000063001, NULL, '{}', '{}', 345600000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.queues VALUES (61, 1, 'standard', '000000000000', 'us-east-1', 'invoices-dlq', 1700000063001, 1700000063001, NULL, '{}', '{}', 345600000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.queues VALUES (62, 1, 'standard', '000000000000', 'us-east-1', 'invoices', 1700000063001, 1700000063001, NULL, '{"RedrivePolicy": "{\"deadLetterTargetArn\":\"arn:aws:sqs:us-east-1:000000000000:invoices-dlq\",\"maxReceiveCount\":1}"}', '{}', 345600000, '000000000000', 'us-east-1', 'invoices-dlq', 1, 0);
INSERT INTO public.queues VALUES (63, 1, 'standard', '000000000000', 'us-east-1', 'archive', 1700000063001, 1700000063001, NULL, '{}', '{}', 345600000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.queues VALUES (64, 1, 'fifo', '000000000000', 'us-east-1', 'hashed.fifo', 1700000063001, 1700000063001, NULL, '{"FifoQueue": "true", "ContentBasedDeduplication": "true"}', '{}', 345600000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.queues VALUES (65, 1, 'standard', '000000000000', 'us-east-1', 'with-key', 1700000063001, 1700000063001, NULL, '{"KmsMasterKeyId": "alias/orders", "KmsDataKeyReusePeriodSeconds": "600", "SqsManagedSseEnabled": "false"}', '{}', 345600000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.queues VALUES (66, 1, 'standard', '000000000000', 'us-east-1', 'without-sse', 1700000063001, 1700000063001, NULL, '{"SqsManagedSseEnabled": "false"}', '{}', 345600000, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.receive_attempts VALUES (4, 'attempt', 1700000002001, '[1, 300]', '[[31, 1, 1700000302001]]');
INSERT INTO public.receive_attempts VALUES (11, 'attempt', 1700000002001, '[10, 0]', '[[45, 1, 1700000002001]]');
INSERT INTO public.receive_attempts VALUES (64, 'attempt-of-a-letter', 1700000064001, '[1, 300]', '[[74, 1, 1700000364001]]');
SELECT pg_catalog.setval('public.numbers', 82, true);
ALTER TABLE ONLY public.backlogs
    ADD CONSTRAINT backlogs_pkey PRIMARY KEY (queue_id);
ALTER TABLE ONLY public.bodies
    ADD CONSTRAINT bodies_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.deduplications
    ADD CONSTRAINT deduplications_pkey PRIMARY KEY (queue_id, key);
ALTER TABLE ONLY public.deletions
    ADD CONSTRAINT deletions_pkey PRIMARY KEY (account, region, name);
ALTER TABLE ONLY public.dropped_queues
    ADD CONSTRAINT dropped_queues_pkey PRIMARY KEY (queue_id);
ALTER TABLE ONLY public.groups
    ADD CONSTRAINT groups_pkey PRIMARY KEY (queue_id, group_id);
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (queue_id, id);
ALTER TABLE ONLY public.move_tasks
    ADD CONSTRAINT move_tasks_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.properties
    ADD CONSTRAINT properties_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.queue_delays
    ADD CONSTRAINT queue_delays_pkey PRIMARY KEY (queue_id);
ALTER TABLE ONLY public.queues
    ADD CONSTRAINT queues_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.receive_attempts
    ADD CONSTRAINT receive_attempts_pkey PRIMARY KEY (queue_id, attempt_id);
CREATE INDEX deduplications_by_age ON public.deduplications USING btree (sent_at_ms);
CREATE INDEX groups_by_availability ON public.groups USING btree (queue_id, available_at_ms, head_id);
CREATE INDEX messages_by_age ON public.messages USING btree (queue_id, sent_at_ms, id) WHERE (earlier_receives > 0);
CREATE INDEX messages_by_group ON public.messages USING btree (queue_id, group_id, id) WHERE (group_id IS NOT NULL);
CREATE INDEX messages_by_tenant ON public.messages USING btree (queue_id, tenant_id, visible_at_ms, queued_at_ms, id) WHERE (tenant_id IS NOT NULL);
CREATE INDEX messages_by_visibility ON public.messages USING btree (queue_id, visible_at_ms, queued_at_ms, id, receive_count);
CREATE INDEX move_tasks_by_source ON public.move_tasks USING btree (account, region, source, number);
CREATE INDEX queues_by_dead_letter_queue ON public.queues USING btree (dead_letter_account, dead_letter_region, dead_letter_name, account, region, name);
CREATE UNIQUE INDEX queues_by_name ON public.queues USING btree (account, region, name);
CREATE INDEX receive_attempts_by_age ON public.receive_attempts USING btree (made_at_ms);
