import type { DeliveryDeps } from './alerts/outbox.ts';
import type { Config, GlobalFlags, ServerAddress } from './config.ts';
import type { Data } from './doctor/check.ts';
import { EXIT, type ExitStatus, InfrasageError, usageError } from './errors.ts';
import { type Io, write } from './io.ts';
import { render } from './render/index.ts';
import { message } from './render/message.ts';
import type { Report } from './render/report.ts';
import { printable } from './render/text.ts';
import type { Settings } from './settings/layers.ts';
import { calledAs, commandLine, hintFor, namesCommand, type Place } from './settings/place.ts';
import type { ClusterWish } from './store/server/nodes.ts';
import type { SharedStore } from './store/socket-server.ts';
import type { Store } from './store/store.ts';

/** What a run is begun with beside its settings. */
export interface Run {
  /** What it runs, for others that find the data directory in use. */
  command: string;
  /** The first words of all there are. */
  commands: readonly string[];
  runCommand: Context['runCommand'];
  /** Whether what it prints names commands to run next. */
  hints: boolean;
}

/** A server that says nothing for so long while it is looked at is taken for away, ms. */
const LOOK_MS = 10_000;

/** What a command works with: the composition root of one run. */
export class Context {
  readonly config: Config;
  /** Its surroundings; of the environment, what a file says too, and what it says itself first. */
  readonly io: Io;
  /** The global flags as they were given. */
  readonly flags: GlobalFlags;
  /** Where the settings come from. */
  readonly settings: Settings;
  /** What is wrong with the settings, for a command that runs all the same. */
  readonly fault: InfrasageError | undefined;
  /** Moment of the run; the same for everything it does but ingest, which stamps each batch. */
  readonly now: Date;
  /** Runs another command line of this program, for commands that show others at work. */
  readonly runCommand: (
    argv: readonly string[],
    io: Io,
    options?: Partial<Pick<Run, 'hints'>>,
  ) => Promise<ExitStatus>;
  readonly #command: string;
  readonly #commands: readonly string[];
  readonly #hints: boolean;
  readonly #place: Place;
  #store: Store | undefined;
  #sharing: SharedStore | undefined;

  constructor(
    config: Config,
    io: Io,
    {
      command,
      commands,
      runCommand,
      hints,
      flags,
      settings,
      fault,
    }: Run & { flags: GlobalFlags; settings: Settings; fault?: InfrasageError },
  ) {
    this.config = config;
    this.io = io;
    this.flags = flags;
    this.settings = settings;
    this.fault = fault;
    this.now = io.now();
    this.runCommand = runCommand;
    this.#command = command;
    this.#commands = commands;
    this.#hints = hints;
    this.#place = { ...flags, program: calledAs(io.env) };
  }

  /**
   * The store for a command that reads: what interrupted runs left behind is
   * settled, so that no report shows half a batch; where that cannot be done
   * (a full disk), it says so and reads on.
   * @throws InfrasageError (exit 3) where there is no data directory or database: a mistyped one is not made
   */
  async store(): Promise<Store> {
    const store = await this.unsettledStore();
    await this.#settleToRead(store);
    return store;
  }

  /** The store for a command that changes what is there: throws also where what interrupted runs left cannot be settled. */
  async storeToChange(): Promise<Store> {
    const store = await this.unsettledStore();
    await this.#settle(store);
    return store;
  }

  /** The same for a command that brings something new: a data directory is made where there is none. */
  async storeToWrite(): Promise<Store> {
    const store = await this.#open({ create: true });
    await this.#settle(store);
    return store;
  }

  /**
   * The same for a command that stays: where no other process shares the data directory, every other command can use
   * it through this one until close().
   */
  async storeToKeepWriting(): Promise<Store> {
    const { clickhouse, dataDir, database } = this.config;
    if (clickhouse) return this.storeToWrite();
    const { openStore } = await import('./store/open.ts');
    const where = { dataDir, database, command: this.#command };
    const store = await this.#share(await openStore({ ...where, create: true, shares: true }));
    await this.#settle(store);
    return store;
  }

  async #settleToRead(store: Store): Promise<void> {
    try {
      await this.#settle(store);
    } catch (error) {
      if (!(error instanceof InfrasageError)) throw error;
      await this.say(
        `an interrupted run could not be settled (${error.message}): the figures may hold part of a batch`,
      );
    }
  }

  async #settle(store: Store): Promise<void> {
    const { recover, recoveryWords } = await import('./ingest/recover.ts');
    const words = recoveryWords(await recover(store, { now: this.io.now }));
    if (words) await this.say(words);
  }

  /** The store as it is; as store() where there is no data directory. */
  unsettledStore(): Promise<Store> {
    return this.#open({ create: false });
  }

  /** The same for a command that only looks, and is done within a moment: others wait until it is. */
  glance(): Promise<Store> {
    return this.#open({ create: false, brief: true });
  }

  /** The store as another process shares it, to be closed by who asks; undefined where none does. */
  async sharedStore(): Promise<Store | undefined> {
    const { connectShared } = await import('./store/socket-client.ts');
    return connectShared(this.config);
  }

  /** Opened on first use; the driver and the engine are loaded only then, and where no other process shares it. */
  async #open({ create, brief = false }: { create: boolean; brief?: boolean }): Promise<Store> {
    if (!this.#store) {
      const { clickhouse, dataDir, database } = this.config;
      if (clickhouse) {
        this.#store = await this.#openServer(clickhouse, { dataDir, create });
      } else {
        const { openStore } = await import('./store/open.ts');
        this.#store = await openStore({ dataDir, database, command: this.#command, create, brief });
      }
    }
    return this.#store;
  }

  /**
   * The data as it is there, to be looked at: nothing is made, settled or migrated. To be closed by who asks.
   * @throws InfrasageError (exit 3) as store()
   */
  async dataToLookAt(): Promise<Data> {
    const { clickhouse, dataDir, database } = this.config;
    if (clickhouse) {
      const { inspectServer } = await import('./store/server/inspect.ts');
      const server = await inspectServer(clickhouse, { database, silenceMs: LOOK_MS });
      return { kind: 'server', reader: server, server };
    }
    const { openStore } = await import('./store/open.ts');
    const store = await openStore({ dataDir, database, command: this.#command, schema: false });
    return { kind: 'embedded', reader: store, store };
  }

  /** A server on which only lines can be judged: its database is not touched. To be closed by who asks. */
  serverToJudge(address: ServerAddress, dataDir: string): Promise<Store> {
    return this.#openServer(address, { dataDir, migrate: false });
  }

  /**
   * The store on a cluster of servers, made there or brought up to date on each of its nodes.
   * @throws InfrasageError (exit 2) where no server is named, or its nodes are not all of them
   */
  async clusterStore(cluster: ClusterWish): Promise<Store> {
    const { clickhouse } = this.config;
    if (!clickhouse) throw usageError('--cluster goes with --clickhouse', 'name the server to begin with');
    this.#store = await this.#openServer(clickhouse, { dataDir: this.config.dataDir, cluster });
    return this.store();
  }

  async #openServer(
    address: ServerAddress,
    {
      dataDir,
      migrate = true,
      create = true,
      cluster,
    }: { dataDir: string; migrate?: boolean; create?: boolean; cluster?: ClusterWish },
  ): Promise<Store> {
    const { openServer } = await import('./store/server/open-server.ts');
    return openServer({
      address,
      dataDir,
      database: this.config.database,
      migrate,
      create,
      ...(cluster && { cluster }),
      onWait: ({ message }) => void this.say(`${message}; trying again`).catch(() => {}),
    });
  }

  /**
   * The store for a command that stays: a server, which all can use, or the engine inside this process, shared with
   * every other command on the data directory until close(). Settled as for a command that reads.
   */
  async storeToShare(): Promise<Store> {
    if (this.config.clickhouse) {
      const store = await this.#open({ create: true });
      await this.#settleToRead(store);
      return store;
    }
    const { openToShare } = await import('./store/open.ts');
    const { dataDir, database } = this.config;
    const store = await this.#share(await openToShare({ dataDir, database, command: this.#command }));
    await this.#settleToRead(store);
    return store;
  }

  /** From here on others can use a store through this process, where its engine is in it. */
  async #share(store: Store): Promise<Store> {
    this.#store = store;
    const [{ isEmbedded }, { shareStore }] = await Promise.all([
      import('./store/open.ts'),
      import('./store/socket-server.ts'),
    ]);
    if (isEmbedded(store)) this.#sharing = await shareStore(store, { dataDir: this.config.dataDir });
    return store;
  }

  /** What evaluating and sending alerts needs. */
  async alertDeps(): Promise<DeliveryDeps> {
    const [{ channels }, { channelSettings }] = await Promise.all([
      import('./alerts/channels/index.ts'),
      import('./alerts/channels/settings.ts'),
    ]);
    return { now: this.io.now, channels: channels(channelSettings(this.io.env)), random: Math.random };
  }

  /**
   * A command line for the person to run next, `dlq list`: on the data that this one works on.
   * @param options.tenant whether it is about this run's tenant alone
   */
  commandLine(words: string, { tenant = true }: { tenant?: boolean } = {}): string {
    const { tenant: own, ...place } = this.#place;
    return commandLine(words, tenant ? this.#place : place);
  }

  /** Words that name commands to run next: on the data that this run works on, whoever's they are. */
  pasteable(text: string): string {
    const { tenant, ...place } = this.#place;
    return hintFor(text, this.#commands, place);
  }

  /** Prints a result on standard output in the format asked for; the commands of its notes can be pasted. */
  async print({ notes, ...report }: Report): Promise<ExitStatus> {
    const { columns = 80, isTTY: terminal = false } = this.io.stdout;
    const shown = notes?.filter((note) => this.#hints || !namesCommand(note, this.#commands));
    const said = shown && { notes: shown.map((note) => this.pasteable(note)) };
    await write(
      this.io.stdout,
      await render({ ...report, ...said }, { ...this.config, width: columns, terminal }),
    );
    return EXIT.ok;
  }

  /** Says something to the person, on standard error, whose commands can be pasted; nothing with --quiet. */
  async say(text: string): Promise<void> {
    if (this.config.quiet) return;
    await write(this.io.stderr, await message(this.io.stderr, printable(this.pasteable(text))));
  }

  async close(): Promise<void> {
    await this.#sharing?.close();
    this.#sharing = undefined;
    await this.#store?.close();
    this.#store = undefined;
  }
}
