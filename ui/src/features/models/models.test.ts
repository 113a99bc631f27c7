import { expect, test, vi } from "vitest";

import { ApiFailure } from "../../lib/ipc/client";
import { MockClient } from "../../lib/ipc/mock";
import { ModelController } from "./models.svelte";

function setUp() {
  const client = new MockClient();
  const onready = vi.fn();
  return { client, onready, models: new ModelController(client, onready) };
}

const broken = () => new ApiFailure("model_broken", "It is broken.");

test("nothing to open at start leaves no model", async () => {
  const { client, models } = setUp();
  await models.start();
  expect(models.state.state).toBe("none");
  expect(client.opened).toEqual([]);
});

test("the demo model can be opened where it is", async () => {
  const { client, models } = setUp();
  await models.start();
  expect(models.demo).toBe(client.demo);
  const without = setUp();
  without.client.demo = null;
  await without.models.start();
  expect(without.models.demo).toBeNull();
});

test("the model of the start is opened", async () => {
  const { client, models, onready } = setUp();
  client.start = "/models/a";
  await models.start();
  expect(models.ready?.path).toBe("/models/a");
  expect(onready).toHaveBeenCalledOnce();
});

test("a model that is open already, as after a reload, is shown and not opened again", async () => {
  const { client, models } = setUp();
  client.state = { state: "ready", ...client.model };
  client.start = "/models/a";
  await models.start();
  expect(models.ready?.name).toBe(client.model.name);
  expect(client.opened).toEqual([]);
});

test("a failure is a state with a sentence", async () => {
  const { client, models, onready } = setUp();
  client.openFailures = [broken()];
  await models.open("/models/broken");
  expect(models.state).toMatchObject({ state: "failed", code: "model_broken", message: "It is broken." });
  expect(onready).not.toHaveBeenCalled();
});

test("a failure leaves the model that Rust still has", async () => {
  const { client, models } = setUp();
  await models.open("/models/a");
  client.openModel = async () => Promise.reject(broken());
  await models.open("/models/broken");
  expect(models.ready?.path).toBe("/models/a");
  expect(models.failure?.message).toBe("It is broken.");
});

test("cancelling is no failure", async () => {
  const { models } = setUp();
  const opening = models.open("/models/a");
  expect(models.state.state).toBe("opening");
  await models.cancel();
  await opening;
  expect(models.state.state).toBe("none");
  expect(models.failure).toBeNull();
});

test("a second model cancels the first, whatever their number", async () => {
  const { client, models } = setUp();
  await Promise.all(["/models/a", "/models/b", "/models/c"].map((path) => models.open(path)));
  expect(models.ready?.path).toBe(client.opened.at(-1));
  expect(models.isCancelling).toBe(false);
});

test("a dialog that is left changes nothing", async () => {
  const { client, models } = setUp();
  await models.chooseFolder();
  await models.chooseFile();
  expect(client.opened).toEqual([]);
});

test("a model that changes by itself says how, until it is read", async () => {
  const { client, models } = setUp();
  client.onModelFitted((model) => models.fit(model));
  await models.open("/models/a");
  expect(models.fitted).toBeNull();
  client.fit({ submodel: "E2B", effective_parameters: 1.9e9 });
  expect(models.ready?.submodel).toBe("E2B");
  expect(models.fitted).toBe("smaller");
  client.fit({ submodel: "E4B", effective_parameters: 3.9e9 });
  expect(models.fitted).toBe("larger");
  models.acceptFit();
  expect(models.fitted).toBeNull();
  client.fit({ context: 1024 });
  expect(models.fitted).toBe("smaller");
});
