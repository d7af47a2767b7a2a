import type { ServiceSpec, TaskTemplateSpec } from '../model/index.ts';
import { type ContainerContext, convertContainer } from './convert-container.ts';
import {
  convertEndpoint,
  convertMode,
  convertPlacement,
  convertPolicy,
  convertResources,
  convertRestart,
  convertUpdate,
} from './convert-deploy.ts';
import { networkKeys } from './convert-objects.ts';
import { convertPorts } from './convert-ports.ts';
import { asList, asMap, asText, asTextMap, isMap, stackProblem, type YamlMap } from './problem.ts';
import {
  compact,
  IMAGE_LABEL,
  objectName,
  type Scope,
  scopedName,
  sorted,
  stackLabels,
} from './scope.ts';

/** One service of the file as a spec. Network targets, secrets and configs are names. */
export function convertService(
  key: string,
  service: YamlMap,
  context: ContainerContext & { readonly warn: (text: string) => void },
): ServiceSpec {
  const { scope } = context;
  const image = asText(service['image']);
  if (image === '')
    throw stackProblem(`invalid image reference for service ${key}: no image specified`);
  const deploy = asMap(service['deploy']);
  const template: TaskTemplateSpec = compact({
    ContainerSpec: convertContainer(service, context),
    Resources: convertResources(deploy),
    RestartPolicy: convertRestart(service, deploy),
    Placement: convertPlacement(deploy),
    Networks: convertTargets(key, service, scope),
    LogDriver: convertLogging(service['logging']),
    ForceUpdate: 0,
  });
  return compact({
    Name: scopedName(scope, key),
    Labels: sorted({
      ...stackLabels(scope, deploy['labels']),
      ...convertPolicy(service),
      [IMAGE_LABEL]: image,
    }),
    TaskTemplate: template,
    Mode: convertMode(deploy),
    UpdateConfig: convertUpdate(deploy['update_config'], 'update_config'),
    RollbackConfig: convertUpdate(deploy['rollback_config'], 'rollback_config'),
    EndpointSpec: convertEndpoint(deploy, convertPorts(asList(service['ports']), context.warn)),
  });
}

function convertTargets(
  key: string,
  service: YamlMap,
  scope: Scope,
): NonNullable<TaskTemplateSpec['Networks']> {
  const declared = asMap(scope.file['networks']);
  const own = service['networks'];
  const settings = isMap(own) ? own : {};
  return networkKeys(service)
    .map((name) => {
      const network = asMap(declared[name]);
      const target = objectName(scope, name, network);
      const aliases = asList(asMap(settings[name])['aliases']).map(asText);
      const options = asMap(settings[name])['driver_opts'];
      // The networks of a host know no aliases.
      const plain = target === 'host' || target === 'none' || target === 'bridge';
      return compact({
        Target: target,
        Aliases: plain ? undefined : [...aliases, key],
        DriverOpts: options ? asTextMap(options) : undefined,
      });
    })
    .toSorted((left, right) => (left.Target < right.Target ? -1 : 1));
}

function convertLogging(logging: unknown): TaskTemplateSpec['LogDriver'] {
  if (!isMap(logging)) return undefined;
  const options = asTextMap(logging['options']);
  return compact({
    Name: asText(logging['driver']) || undefined,
    Options: Object.keys(options).length > 0 ? sorted(options) : undefined,
  });
}
