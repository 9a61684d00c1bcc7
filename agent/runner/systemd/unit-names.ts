/** A slot is `<app>.<name>`: the name is the instance of the app's template units. */
const SLOT = /^([a-z][a-z0-9-]{0,30})\.([a-z0-9][a-z0-9._-]{0,150})$/;

/** The two halves of a slot's name. */
export interface SlotName {
  readonly app: string;
  /** Unique within the app for ever: `r42-d57-web-1`. */
  readonly name: string;
}

/** Takes a slot's name apart. @throws RangeError for what is no name of a slot */
export function slotName(slot: string): SlotName {
  const [, app, name] = SLOT.exec(slot) ?? [];
  if (app === undefined || name === undefined) {
    throw new RangeError(`not a slot name: ${JSON.stringify(slot)}`);
  }
  return { app, name };
}

/** `zdd-app-shop@r42-d57-web-1.service` */
export function serviceOf(slot: string): string {
  const { app, name } = slotName(slot);
  return `zdd-app-${app}@${name}.service`;
}

/** The listener of a slot with `listen: fd`. */
export function socketUnitOf(slot: string): string {
  const { app, name } = slotName(slot);
  return `zdd-app-${app}@${name}.socket`;
}

/** The unit of a command that runs once. */
export function onceUnitOf(slot: string): string {
  const { app, name } = slotName(slot);
  return `zdd-once-${app}@${name}.service`;
}

/** What a job of an app runs as. */
export function cronServiceOf(app: string, job: string): string {
  return `zdd-cron-${app}@${job}.service`;
}

/** What starts it at its times. */
export function cronTimerOf(app: string, job: string): string {
  return `zdd-cron-${app}@${job}.timer`;
}

/** The root step that makes user, folders and units of an app. */
export function provisionUnitOf(app: string): string {
  return `zdd-provision@${app}.service`;
}

/**
 * The release and the process type in a slot's name, for slots of which nothing else is known any
 * more. A release is known by its number then: `r42`.
 */
export function partsOf(name: string): { readonly release: string; readonly process: string } {
  const [, release, process] = /^(.+?)-d\d+-(.+?)(?:-\d+)?$/.exec(name) ?? [];
  return { release: release ?? '', process: process ?? '' };
}
