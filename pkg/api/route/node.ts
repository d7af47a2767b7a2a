import type { FastifyInstance, FastifyRequest } from 'fastify';
import {
  type Change,
  type DraftTables,
  isTerminal,
  type Node,
  type NodeSpec,
  removeObject,
  type Task,
  updateObject,
} from '../../model/index.ts';
import { addChanges, type ClusterContext, freshView, transact } from '../context.ts';
import { controlError, invalid } from '../failure.ts';
import { type Filters, parseFilters } from '../filters.ts';
import { checkReadVersion, findNode, nodeName } from '../lookup.ts';
import { jsonBody, pathParameter, queryFlag, queryText, versionParameter } from '../query.ts';
import { sendEmpty, sendJson, sendJsonList } from '../reply.ts';
import { isReachable, type NodeRendering, renderNode } from '../wire/node.ts';
import { renderTlsInfo } from '../wire/tls-info.ts';

const FILTERS = ['id', 'name', 'label', 'node.label', 'membership', 'role'];

export function nodeRoutes(app: FastifyInstance, context: ClusterContext): void {
  app.get('/nodes', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), FILTERS);
    const view = await freshView(context);
    const nodes = [...view.list('node')].filter((node) => matches(node, filters));
    const rendering = renderingOf(context);
    return await sendJsonList(reply, nodes, (node) => JSON.stringify(renderNode(node, rendering)));
  });

  app.get('/nodes/:id', async (request, reply) => {
    const view = await freshView(context);
    const node = findNode(view, pathParameter(request, 'id'));
    return sendJson(reply, renderNode(node, renderingOf(context)));
  });

  app.post('/nodes/:id/update', async (request, reply) => {
    await update(context, request);
    return sendEmpty(reply, 200);
  });

  app.delete('/nodes/:id', async (request, reply) => {
    const asked = pathParameter(request, 'id');
    const force = queryFlag(request, 'force');
    await transact(context, (draft) => {
      const node = findNode(draft, asked);
      checkRemovable(node, force);
      addChanges(draft, [
        ...orphanTasks(draft, node, context.cluster.store.now()),
        removeObject('node', node),
      ]);
    });
    return sendEmpty(reply, 200);
  });
}

function renderingOf({ cluster }: ClusterContext): NodeRendering {
  const object = cluster.store.view.cluster;
  return {
    self: cluster.nodeId,
    members: cluster.store.members(),
    tlsInfo: object && renderTlsInfo(object.ca.certificatePem),
  };
}

async function update(context: ClusterContext, request: FastifyRequest): Promise<void> {
  const asked = pathParameter(request, 'id');
  const version = versionParameter(request);
  const sent = jsonBody<Partial<NodeSpec>>(request);
  const demoted = await transact(context, (draft) => {
    const node = findNode(draft, asked);
    checkReadVersion(node, version);
    const spec = nodeSpec(node, sent);
    const demotion = node.spec.Role === 'manager' && spec.Role === 'worker';
    if (demotion) checkDemotion(context, draft, node);
    addChanges(draft, [updateObject('node', { ...node, spec, specSeen: node.version })]);
    return demotion ? node.id : undefined;
  });
  if (demoted !== undefined) await context.cluster.demote(demoted);
}

function nodeSpec(node: Node, sent: Partial<NodeSpec>): NodeSpec {
  const Role = sent.Role || node.spec.Role;
  const Availability = sent.Availability || node.spec.Availability;
  if (Role !== 'worker' && Role !== 'manager') throw invalid(`invalid Role: "${String(Role)}"`);
  if (!['active', 'pause', 'drain'].includes(Availability)) {
    throw invalid(`invalid Availability: "${String(Availability)}"`);
  }
  return { ...sent, Role, Availability };
}

/** Docker's two refusals: the last manager, and a removal that would leave no quorum. */
function checkDemotion({ cluster }: ClusterContext, draft: DraftTables, node: Node): void {
  const managers = [...draft.list('node')].filter((other) => other.spec.Role === 'manager');
  if (managers.length <= 1) {
    throw controlError('FailedPrecondition', 'attempting to demote the last manager of the swarm');
  }
  const members = cluster.store.members();
  const rest = members.filter(({ nodeId, role }) => role === 'voter' && nodeId !== node.id);
  const reachable = rest.filter(({ nodeId }) => {
    const other = draft.get('node', nodeId);
    return other !== undefined && isReachable(other, members, cluster.nodeId);
  }).length;
  if (members.length > 0 && reachable < Math.floor(rest.length / 2) + 1) {
    const text = "can't remove member from the raft: this would result in a loss of quorum";
    throw controlError('FailedPrecondition', text);
  }
}

function checkRemovable(node: Node, force: boolean): void {
  if (node.spec.Role === 'manager' || node.manager) {
    const text = `node ${node.id} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal`;
    throw controlError('FailedPrecondition', text);
  }
  if (!force && node.status.state !== 'down') {
    const text = `node ${node.id} is not down and can't be removed`;
    throw controlError('FailedPrecondition', text);
  }
}

/** Nobody will ever report on the tasks of a removed node again (SwarmKit controlapi `orphanNodeTasks`). */
function orphanTasks(draft: DraftTables, node: Node, now: Task['status']['at']): Change[] {
  return [...draft.tasksOfNode(node.id)]
    .filter((task) => !isTerminal(task.status.state))
    .map((task) =>
      updateObject('task', {
        ...task,
        status: {
          ...task.status,
          state: 'orphaned',
          at: now,
          message: 'Task belonged to a node that has been deleted',
        },
      }),
    );
}

function matches(node: Node, filters: Filters): boolean {
  return (
    filters.prefix('id', node.id) &&
    filters.prefix('name', nodeName(node), node.description?.hostname) &&
    filters.labels('label', node.description?.engineLabels) &&
    filters.labels('node.label', node.spec.Labels) &&
    filters.exact('role', node.spec.Role) &&
    filters.exact('membership', 'accepted')
  );
}
